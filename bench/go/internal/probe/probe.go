//go:build linux

// Package probe asks again and again until an answer changes: when a proxy has started, when a configuration has taken effect.
package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"heddle.dev/bench/internal/wire"
)

const (
	pause   = 500 * time.Microsecond
	timeout = 60 * time.Second
)

// found is what both programs print: times of CLOCK_MONOTONIC in nanoseconds.
type found struct {
	BeganAt    int64 `json:"beganAt"`
	AnsweredAt int64 `json:"answeredAt"`
}

// RunStart starts a program, prints when it was begun and when the first request through it was answered, and ends it.
func RunStart(args []string) error {
	flags := flag.NewFlagSet("start", flag.ExitOnError)
	address := flags.String("address", "", "where the program listens")
	if err := flags.Parse(args); err != nil {
		return err
	}
	command := exec.Command(flags.Arg(0), flags.Args()[1:]...)
	command.Stderr = os.Stderr
	began := wire.Now()
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", flags.Arg(0), err)
	}
	answered, err := await(*address, "bench.internal", nil)
	if signalled := command.Process.Signal(syscall.SIGTERM); signalled != nil {
		return signalled
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(3 * time.Second):
		_ = command.Process.Kill()
		<-ended
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found{BeganAt: int64(began), AnsweredAt: int64(answered)})
}

// RunProbe prints "ready", and when a request to a host was first answered with 200.
func RunProbe(args []string) error {
	flags := flag.NewFlagSet("probe", flag.ExitOnError)
	address := flags.String("address", "", "where the proxy listens")
	host := flags.String("host", "bench.internal", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	began := wire.Now()
	ready := func() { fmt.Println("ready") }
	answered, err := await(*address, *host, ready)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found{BeganAt: int64(began), AnsweredAt: int64(answered)})
}

// await keeps one connection while it can; onAsking is called once a request has been answered, whatever the answer.
func await(address, host string, onAsking func()) (time.Duration, error) {
	request := fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	var conn net.Conn
	last := errors.New("no answer")
	buffer := make([]byte, 16*1024)
	for end := time.Now().Add(timeout); time.Now().Before(end); time.Sleep(pause) {
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", address); err != nil {
				last = err
				continue
			}
		}
		answer, err := ask(conn, request, buffer)
		if err != nil {
			last = err
			_ = conn.Close()
			conn = nil
			continue
		}
		if bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
			_ = conn.Close()
			return wire.Now(), nil
		}
		last = fmt.Errorf("answered %q", answer)
		if onAsking != nil {
			onAsking()
			onAsking = nil
		}
	}
	return 0, fmt.Errorf("no good answer from %s within %s: %w", address, timeout, last)
}

// ask reads a whole answer: its head, and as many bytes as content-length says.
func ask(conn net.Conn, request, buffer []byte) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	for length := 0; length < len(buffer); {
		read, err := conn.Read(buffer[length:])
		if err != nil {
			return nil, err
		}
		length += read
		head, body, isWhole := bytes.Cut(buffer[:length], []byte("\r\n\r\n"))
		if isWhole && len(body) >= contentLength(head) {
			return buffer[:length], nil
		}
	}
	return nil, errors.New("the answer is too long")
}

func contentLength(head []byte) int {
	length := 0
	_, value, _ := bytes.Cut(bytes.ToLower(head), []byte("\r\ncontent-length:"))
	_, _ = fmt.Sscan(string(value), &length)
	return length
}
