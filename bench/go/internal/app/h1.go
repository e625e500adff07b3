//go:build linux

package app

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"heddle.dev/bench/internal/wire"
)

const chunk = 64 * 1024

var (
	zeros     [chunk]byte
	endOfHead = []byte("\r\n\r\n")
)

// h1 is one HTTP/1.1 connection.
type h1 struct {
	conn    *wire.Conn
	counts  *counts
	answers *answers
	// What was read of a head that is not whole yet.
	partial []byte
	// Left of the request's body, and of ours.
	unread  int64
	unsent  int64
	hadBody bool
}

func newH1(conn *wire.Conn, counts *counts, body int64) wire.Handler {
	counts.connections.Add(1)
	return &h1{conn: conn, counts: counts, answers: &answers{body: body, large: makeHead(body), small: makeHead(smallBody)}}
}

// answers are the two that there are.
type answers struct {
	body  int64
	large []byte
	small []byte
}

func makeHead(body int64) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nserver: bench\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"+
		"content-type: application/json\r\ncache-control: no-store\r\ncontent-length: %d\r\n\r\n", body)
}

func (conn *h1) OnData(data []byte) {
	if len(conn.partial) > 0 {
		conn.partial = append(conn.partial, data...)
		data = conn.partial
	}
	for len(data) > 0 {
		if conn.unread > 0 {
			taken := min(conn.unread, int64(len(data)))
			conn.counts.bytes.Add(taken)
			conn.unread -= taken
			data = data[taken:]
			if conn.unread == 0 {
				conn.answer()
			}
			continue
		}
		end := bytes.Index(data, endOfHead)
		if end < 0 {
			break
		}
		conn.counts.requests.Add(1)
		conn.unread = contentLength(data[:end+2])
		conn.hadBody = conn.unread > 0
		data = data[end+len(endOfHead):]
		if conn.unread == 0 {
			conn.answer()
		}
	}
	conn.partial = append(conn.partial[:0], data...)
}

func (conn *h1) answer() {
	if conn.hadBody {
		conn.conn.Write(conn.answers.small)
		conn.unsent += smallBody
	} else {
		conn.conn.Write(conn.answers.large)
		conn.unsent += conn.answers.body
	}
	conn.OnDrained()
}

// OnDrained sends what is left of the body, a slice of memory at a time.
func (conn *h1) OnDrained() {
	for conn.unsent > 0 && conn.conn.Pending() < 4*chunk {
		size := min(conn.unsent, chunk)
		conn.conn.Write(zeros[:size])
		conn.unsent -= size
	}
}

func (conn *h1) OnClosed(error) {}

// contentLength of a head; chunked bodies are not foreseen, and end the program so that nobody measures them by mistake.
func contentLength(head []byte) int64 {
	if bytes.Contains(bytes.ToLower(head), []byte("\r\ntransfer-encoding:")) {
		fmt.Fprintln(os.Stderr, "the application takes no chunked bodies")
		os.Exit(1)
	}
	at := bytes.Index(bytes.ToLower(head), []byte("\r\ncontent-length:"))
	if at < 0 {
		return 0
	}
	value := head[at+len("\r\ncontent-length:"):]
	value = bytes.TrimSpace(value[:bytes.IndexByte(value, '\r')])
	length, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return length
}
