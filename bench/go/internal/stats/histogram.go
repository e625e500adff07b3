//go:build linux

package stats

import (
	"math/bits"
	"time"
)

const (
	subBits    = 7
	subBuckets = 1 << subBits
)

// histogram counts durations in buckets that are at most 0.8 % wide.
type histogram struct {
	buckets [64 * subBuckets]uint32
	count   uint64
	max     time.Duration
}

func (histogram *histogram) record(duration time.Duration) {
	histogram.count++
	histogram.max = max(histogram.max, duration)
	histogram.buckets[bucketOf(uint64(max(duration, 0)))]++
}

func bucketOf(nanos uint64) int {
	shift := max(bits.Len64(nanos)-subBits-1, 0)
	return shift*subBuckets + int(nanos>>shift)
}

// percentile is the middle of the bucket that holds it, in microseconds.
func (histogram *histogram) percentile(share float64) float64 {
	rank := uint64(share * float64(histogram.count))
	var seen uint64
	for index, count := range histogram.buckets {
		seen += uint64(count)
		if count > 0 && seen > rank {
			return middleOf(index) / 1000
		}
	}
	return float64(histogram.max) / 1000
}

func middleOf(index int) float64 {
	shift := max(index/subBuckets-1, 0)
	least := uint64(index-shift*subBuckets) << shift
	return float64(least) + float64(uint64(1)<<shift)/2
}

func (histogram *histogram) add(other *histogram) {
	histogram.count += other.count
	histogram.max = max(histogram.max, other.max)
	for index, count := range other.buckets {
		histogram.buckets[index] += count
	}
}
