//go:build linux

// Package app is the application behind the proxies: it answers every request with the same small answer, or a large one, takes any
// body, and counts.
package app

import (
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"

	"heddle.dev/bench/internal/wire"
)

// What a request with a body is answered with.
const smallBody = 2

// counts are what the application saw; they are read by another goroutine.
type counts struct {
	requests    atomic.Int64
	connections atomic.Int64
	bytes       atomic.Int64
}

// Run serves until the process is ended. It prints nothing; `GET /` on the control address answers the counts.
func Run(args []string) error {
	flags := flag.NewFlagSet("app", flag.ExitOnError)
	protocol := flags.String("protocol", "h1", "h1, h2, tcp or otlp")
	address := flags.String("address", "", "where to listen")
	control := flags.String("control", "", "where the counts are served")
	body := flags.Int64("body", 2, "bytes of an answer's body; a request that has one itself is always answered with 2")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*address)
	if err != nil {
		return fmt.Errorf("-address: %w", err)
	}
	counts := &counts{}
	if *control != "" {
		go serveCounts(*control, counts)
	}
	if *protocol == "otlp" {
		return serveCollector(*address, counts)
	}
	loop, err := wire.New()
	if err != nil {
		return err
	}
	makeHandlers := map[string]func(conn *wire.Conn) wire.Handler{
		"h1":  func(conn *wire.Conn) wire.Handler { return newH1(conn, counts, *body) },
		"h2":  func(conn *wire.Conn) wire.Handler { return newH2(conn, counts, *body) },
		"tcp": func(conn *wire.Conn) wire.Handler { return newTCP(conn, counts, *body) },
	}
	makeHandler, ok := makeHandlers[*protocol]
	if !ok {
		return fmt.Errorf("-protocol must be h1, h2, tcp or otlp: got %q", *protocol)
	}
	if err := loop.Listen(at, makeHandler); err != nil {
		return err
	}
	return loop.Run()
}

func serveCounts(address string, counts *counts) {
	handler := http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(writer, `{"requests":%d,"connections":%d,"bytes":%d}`,
			counts.requests.Load(), counts.connections.Load(), counts.bytes.Load())
	})
	if err := http.ListenAndServe(address, handler); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
