//go:build linux

package stats

import (
	"fmt"
	"math/rand/v2"
)

// One request in so many is sampled by its caller.
const SampledShare = 100

// The digit of a request id's version, as an Envoy in front of ours would write it: it keeps there whether a request is traced, and
// asks its tracer, which looks at traceparent, only then.
const (
	NotSampled = '4'
	Sampled    = '9'
)

// IDs are what no two requests share.
type IDs struct {
	RequestID   string
	Traceparent string
}

// NewIDs makes the ids of the request with this number.
func NewIDs(count int) IDs {
	first, second, third := rand.Uint64(), rand.Uint64(), rand.Uint64()
	flags, version := 0, NotSampled
	if count%SampledShare == SampledShare-1 {
		flags, version = 1, Sampled
	}
	return IDs{
		RequestID:   fmt.Sprintf("%08x-%04x-%c%03x-8%03x-%012x", first>>32, first&0xffff, version, second>>52, second&0xfff, third>>16),
		Traceparent: fmt.Sprintf("00-%016x%016x-%016x-%02x", first, second, third|1, flags),
	}
}
