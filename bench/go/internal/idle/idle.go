//go:build linux

// Package idle opens many connections that make one request each and are then silent.
package idle

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const answerTime = 10 * time.Second

// Run prints "open" when all have been answered, and holds them until standard input ends.
func Run(args []string) error {
	flags := flag.NewFlagSet("connections", flag.ExitOnError)
	protocol := flags.String("protocol", "h1", "h1 or h2")
	address := flags.String("address", "", "where the proxy listens")
	count := flags.Int("connections", 10_000, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ask := askH1
	if *protocol == "h2" {
		ask = askH2
	}
	open := make([]net.Conn, 0, *count)
	for range *count {
		conn, err := net.Dial("tcp", *address)
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(open)+1, err)
		}
		open = append(open, conn)
		if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
			return err
		}
		if err := ask(conn); err != nil {
			return fmt.Errorf("connection %d: %w", len(open), err)
		}
	}
	fmt.Println("open")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func askH1(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET /api/v1/orders HTTP/1.1\r\nHost: orders.shop\r\n\r\n"); err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	read, err := conn.Read(buffer)
	if err != nil {
		return err
	}
	if answer := string(buffer[:read]); !strings.HasPrefix(answer, "HTTP/1.1 200") {
		return fmt.Errorf("answered %q", answer)
	}
	return nil
}

func askH2(conn net.Conn) error {
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "orders.shop"}, {":path", "/api/v1/orders"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return err
		}
	}
	head := http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true}
	if err := errors.Join(framer.WriteSettings(), framer.WriteHeaders(head)); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
			if err := framer.WriteSettingsAck(); err != nil {
				return err
			}
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return nil
		}
	}
}
