//go:build linux

// Package stats counts what a load generator did, and reports it in the one form that the bench reads.
package stats

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Stats of one measurement; not safe for concurrent use: each goroutine has its own, added up at the end.
type Stats struct {
	// Began and Last are set by Begin, Record and Add.
	began     time.Time
	last      time.Time
	requests  int
	failed    int
	firstFail error
	bytes     int64
	latency   histogram
	extra     map[string]any
}

// New is empty.
func New() *Stats { return &Stats{} }

// Begin is when the measurement begins.
func (stats *Stats) Begin() { stats.began = time.Now() }

// Record counts an answer.
func (stats *Stats) Record(latency time.Duration) {
	stats.requests++
	stats.latency.record(latency)
	stats.last = time.Now()
}

// Bytes counts what was transferred.
func (stats *Stats) Bytes(count int64) { stats.bytes += count }

// Fail counts a request without a good answer.
func (stats *Stats) Fail(err error) {
	stats.failed++
	if stats.firstFail == nil {
		stats.firstFail = err
	}
}

// Requests is how many were answered.
func (stats *Stats) Requests() int { return stats.requests }

// Failed is how many were not.
func (stats *Stats) Failed() int { return stats.failed }

// Set puts one more field into the report.
func (stats *Stats) Set(name string, value any) {
	if stats.extra == nil {
		stats.extra = map[string]any{}
	}
	stats.extra[name] = value
}

// Add takes in what another goroutine counted.
func (stats *Stats) Add(other *Stats) {
	stats.requests += other.requests
	stats.failed += other.failed
	stats.bytes += other.bytes
	stats.firstFail = errors.Join(stats.firstFail, other.firstFail)
	stats.latency.add(&other.latency)
	if other.last.After(stats.last) {
		stats.last = other.last
	}
}

// Print writes the report in JSON to standard output. At a fixed rate, latency counts from when a request should have begun.
func (stats *Stats) Print() error {
	report := map[string]any{
		"requests": stats.requests,
		"errors":   stats.failed,
		"seconds":  max(stats.last.Sub(stats.began), 0).Seconds(),
		"p50Us":    stats.latency.percentile(0.5),
		"p99Us":    stats.latency.percentile(0.99),
		"maxUs":    float64(stats.latency.max) / 1000,
		"bytes":    stats.bytes,
		"cpuUs":    ownCPU(),
	}
	for name, value := range stats.extra {
		report[name] = value
	}
	if stats.firstFail != nil {
		report["error"] = stats.firstFail.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// ownCPU is what this program has used so far, in microseconds.
func ownCPU() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}
