// A net/http server that closes idle connections by its own IdleTimeout, and counts how often it executed each request. Reads a
// line from stdin for each report; says its port, then reports in JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	quiet  = 150 * time.Millisecond
	spread = 150 * time.Millisecond
)

var (
	mutex      sync.Mutex
	executed   int
	executions = map[string]int{}
	closes     = map[string]float64{}
	names      = map[net.Conn]string{}
	held       []chan struct{}
	timer      *time.Timer
)

type nameKey struct{}

// CLOCK_MONOTONIC, as the processes of the test read it.
func monotonicMs() float64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Sec)*1e3 + float64(ts.Nsec)/1e6
}

// Answers when all have come, so that each needs a connection of its own.
func hold() {
	answer := make(chan struct{})
	mutex.Lock()
	held = append(held, answer)
	if timer == nil {
		timer = time.AfterFunc(quiet, release)
	} else {
		timer.Reset(quiet)
	}
	mutex.Unlock()
	<-answer
}

func release() {
	mutex.Lock()
	all := held
	held = nil
	timer = nil
	mutex.Unlock()
	for i, answer := range all {
		time.AfterFunc(spread*time.Duration(i)/time.Duration(len(all)), func() { close(answer) })
	}
}

func handle(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	mutex.Lock()
	executed++
	if r.Method != http.MethodGet {
		executions[r.Header.Get("x-id")]++
	}
	mutex.Unlock()
	if r.Header.Get("x-hold") != "" {
		hold()
	}
	w.Header().Set("x-connection", r.Context().Value(nameKey{}).(string))
	w.Header().Set("x-answered", strconv.FormatFloat(monotonicMs(), 'f', 3, 64))
	io.WriteString(w, "ok")
}

func main() {
	idle, err := time.ParseDuration(os.Args[1])
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:     http.HandlerFunc(handle),
		IdleTimeout: idle,
		Protocols:   protocols,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 10},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			mutex.Lock()
			defer mutex.Unlock()
			name := strconv.Itoa(len(names) + 1)
			names[conn] = name
			return context.WithValue(ctx, nameKey{}, name)
		},
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state != http.StateClosed {
				return
			}
			mutex.Lock()
			closes[names[conn]] = monotonicMs()
			mutex.Unlock()
		},
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go report()
	panic(server.Serve(listener))
}

func report() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		mutex.Lock()
		twice := 0
		for _, times := range executions {
			if times > 1 {
				twice++
			}
		}
		line, _ := json.Marshal(map[string]any{"executed": executed, "twice": twice, "closes": closes, "stalls": []int{}})
		mutex.Unlock()
		fmt.Println(string(line))
	}
	os.Exit(0)
}
