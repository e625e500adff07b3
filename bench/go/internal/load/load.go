//go:build linux

// Package load makes requests over HTTP/1.1 or HTTP/2, as many as are answered or at a fixed rate, and measures them.
package load

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"time"

	"heddle.dev/bench/internal/stats"
	"heddle.dev/bench/internal/wire"
)

// How long requests that run at the end are waited for: small ones, and large bodies.
const (
	drainTime     = 5 * time.Second
	longDrainTime = time.Minute
)

// Beyond it there is nothing to measure.
const maxFailures = 1000

// slot is room for one request at a time.
type slot interface {
	start(intended time.Duration)
}

// driver decides when requests are made.
type driver struct {
	loop     *wire.Loop
	seconds  float64
	interval time.Duration
	// Requests to make at all; 0 = as many as the time allows.
	limit int

	began    time.Duration
	started  int
	stopping bool
	stats    *stats.Stats
	idle     []slot
	// At a fixed rate: when requests should have begun that found no slot.
	backlog []time.Duration
	waiting int
}

type options struct {
	address netip.AddrPort
	host    string
	upload  int64
}

// Run makes the load and prints a report in JSON.
func Run(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	protocol := flags.String("protocol", "h1", "h1 or h2")
	address := flags.String("address", "", "where the proxy listens")
	host := flags.String("host", "", "authority of the requests")
	connections := flags.Int("connections", 32, "")
	streams := flags.Int("streams", 1, "requests at a time on each connection (h2)")
	seconds := flags.Float64("seconds", 2, "")
	rate := flags.Float64("rate", 0, "requests per second in all; 0 = each as soon as the one before is answered")
	requests := flags.Int("requests", 0, "end after so many")
	upload := flags.Int64("upload", 0, "bytes of each request's body")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*address)
	if err != nil {
		return fmt.Errorf("-address: %w", err)
	}
	loop, err := wire.New()
	if err != nil {
		return err
	}
	driver := &driver{loop: loop, seconds: *seconds, limit: *requests, waiting: *connections, stats: stats.New()}
	if *rate > 0 {
		driver.interval = time.Duration(float64(time.Second) / *rate)
	}
	loop.At(wire.Now()+drainTime, driver.giveUp)
	options := options{address: at, host: *host, upload: *upload}
	for range *connections {
		switch *protocol {
		case "h1":
			err = dialH1(driver, options)
		case "h2":
			err = dialH2(driver, options, *streams)
		default:
			err = fmt.Errorf("-protocol must be h1 or h2: got %q", *protocol)
		}
		if err != nil {
			return err
		}
	}
	if err := loop.Run(); err != nil {
		return err
	}
	return driver.stats.Print()
}

func (driver *driver) giveUp(time.Duration) {
	driver.fail(errors.New("connections were not ready in time"))
	driver.loop.Stop()
}

// ready is called by each connection, with its slots; when all are, the measurement begins.
func (driver *driver) ready(slots ...slot) {
	driver.idle = append(driver.idle, slots...)
	driver.waiting--
	if driver.waiting > 0 {
		return
	}
	driver.began = wire.Now()
	driver.stats.Begin()
	driver.tick(driver.began)
	if driver.interval > 0 {
		return
	}
	idle := driver.idle
	driver.idle = nil
	for _, slot := range idle {
		driver.begin(slot, driver.began)
	}
}

// tick makes the requests that are due, and ends the measurement.
func (driver *driver) tick(now time.Duration) {
	end := driver.began + time.Duration(driver.seconds*float64(time.Second))
	if driver.limit > 0 {
		end = driver.began + time.Hour
	}
	if now >= end {
		driver.stop(now)
		return
	}
	if driver.interval == 0 {
		driver.loop.At(end, driver.tick)
		return
	}
	for due := driver.nextDue(); due <= now; due = driver.nextDue() {
		driver.started++
		if len(driver.idle) == 0 {
			driver.backlog = append(driver.backlog, due)
			continue
		}
		slot := driver.idle[0]
		driver.idle = driver.idle[1:]
		slot.start(due)
	}
	driver.loop.At(min(driver.nextDue(), end), driver.tick)
}

func (driver *driver) nextDue() time.Duration {
	return driver.began + time.Duration(driver.started)*driver.interval
}

func (driver *driver) begin(slot slot, now time.Duration) {
	if driver.stopping || (driver.limit > 0 && driver.started >= driver.limit) {
		driver.stop(now)
		return
	}
	driver.started++
	slot.start(now)
}

// done is called with each answer.
func (driver *driver) done(slot slot, intended, now time.Duration, bytes int64) {
	driver.stats.Record(now - intended)
	driver.stats.Bytes(bytes)
	if driver.interval == 0 {
		driver.begin(slot, now)
		return
	}
	if len(driver.backlog) > 0 {
		due := driver.backlog[0]
		driver.backlog = driver.backlog[1:]
		slot.start(due)
		return
	}
	driver.idle = append(driver.idle, slot)
	driver.endWhenDone()
}

// fail counts a request that was not answered well; its slot is lost.
func (driver *driver) fail(err error) {
	driver.stats.Fail(err)
	driver.endWhenDone()
	if driver.stats.Failed() > maxFailures {
		driver.loop.Stop()
	}
}

func (driver *driver) stop(now time.Duration) {
	if !driver.stopping {
		driver.stopping = true
		patience := drainTime
		if driver.limit > 0 {
			patience = longDrainTime
		}
		driver.loop.At(now+patience, func(time.Duration) {
			unanswered := driver.started - driver.stats.Requests()
			driver.fail(fmt.Errorf("%d requests were not answered within %s of the end", unanswered, patience))
			driver.loop.Stop()
		})
	}
	driver.endWhenDone()
}

func (driver *driver) endWhenDone() {
	if driver.stopping && driver.stats.Requests()+driver.stats.Failed() >= driver.started {
		driver.loop.Stop()
	}
}
