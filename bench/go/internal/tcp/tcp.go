//go:build linux

// Package tcp sends opaque bytes through a proxy and takes as many back.
package tcp

import (
	"flag"
	"fmt"
	"io"
	"net"
	"time"

	"heddle.dev/bench/internal/stats"
)

// Run makes connections one after the other: each sends its bytes, then reads as many.
func Run(args []string) error {
	flags := flag.NewFlagSet("tcp", flag.ExitOnError)
	address := flags.String("address", "", "where the proxy listens")
	size := flags.Int64("size", 64<<20, "bytes in each direction")
	count := flags.Int("requests", 2, "connections")
	if err := flags.Parse(args); err != nil {
		return err
	}
	total := stats.New()
	total.Begin()
	for range *count {
		began := time.Now()
		if err := transfer(*address, *size); err != nil {
			total.Fail(err)
			break
		}
		total.Record(time.Since(began))
		total.Bytes(2 * *size)
	}
	return total.Print()
}

func transfer(address string, size int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, 256*1024)
	for left := size; left > 0; {
		sent, err := conn.Write(buffer[:min(left, int64(len(buffer)))])
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", size-left, err)
		}
		left -= int64(sent)
	}
	for left := size; left > 0; {
		read, err := conn.Read(buffer)
		left -= int64(read)
		if err != nil && left > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%d bytes before the end: %w", left, err)
		}
	}
	return nil
}
