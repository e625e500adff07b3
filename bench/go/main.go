//go:build linux

// Command bench has the programs around the proxies that `npm run bench` compares: load generators and applications.
package main

import (
	"fmt"
	"os"

	"heddle.dev/bench/internal/app"
	"heddle.dev/bench/internal/grpcecho"
	"heddle.dev/bench/internal/idle"
	"heddle.dev/bench/internal/load"
	"heddle.dev/bench/internal/probe"
	"heddle.dev/bench/internal/tcp"
	"heddle.dev/bench/internal/tlsload"
)

var programs = map[string]func(args []string) error{
	"app":         app.Run,
	"load":        load.Run,
	"grpc-server": grpcecho.RunServer,
	"grpc-client": grpcecho.RunClient,
	"handshakes":  tlsload.Run,
	"connections": idle.Run,
	"tcp":         tcp.Run,
	"start":       probe.RunStart,
	"probe":       probe.RunProbe,
}

func main() {
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: bench PROGRAM [options], with PROGRAM one of:")
		for name := range programs {
			fmt.Fprintln(os.Stderr, " ", name)
		}
		os.Exit(2)
	}
	if err := programs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
