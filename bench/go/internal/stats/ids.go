//go:build linux

package stats

import (
	"fmt"
	"math/rand/v2"
)

// One request in so many is sampled by its caller.
const SampledShare = 100

// IDs are what no two requests share.
type IDs struct {
	RequestID   string
	Traceparent string
}

// NewIDs makes the ids of the request with this number.
func NewIDs(count int) IDs {
	first, second, third := rand.Uint64(), rand.Uint64(), rand.Uint64()
	flags := 0
	if count%SampledShare == SampledShare-1 {
		flags = 1
	}
	return IDs{
		RequestID:   fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", first>>32, first&0xffff, second>>52, second&0xfff, third>>16),
		Traceparent: fmt.Sprintf("00-%016x%016x-%016x-%02x", first, second, third|1, flags),
	}
}
