//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"heddle.dev/bench/internal/wire"
)

const chunk = 64 * 1024

var (
	zeros      [chunk]byte
	endOfHead  = []byte("\r\n\r\n")
	lengthName = []byte("\r\ncontent-length:")
)

// h1 is one connection, with one request at a time.
type h1 struct {
	driver   *driver
	conn     *wire.Conn
	head     *head1
	upload   int64
	unsent   int64
	intended time.Duration
	isBusy   bool
	// Of the answer: -1 while its head is awaited.
	unread  int64
	bytes   int64
	partial []byte
}

func dialH1(driver *driver, options options) error {
	client := &h1{driver: driver, head: newHead1(options.host, options.upload), upload: options.upload, unread: -1}
	err := driver.loop.Dial(options.address, func(conn *wire.Conn) wire.Handler {
		client.conn = conn
		return client
	})
	if err != nil {
		return err
	}
	driver.ready(client)
	return nil
}

func (client *h1) start(intended time.Duration) {
	client.intended = intended
	client.isBusy = true
	client.conn.SetBuffer(client.head.appendTo(client.conn.Buffer()))
	client.unsent = client.upload
	client.send()
}

func (client *h1) send() {
	for client.unsent > 0 && client.conn.Pending() < 4*chunk {
		size := min(client.unsent, chunk)
		client.conn.Write(zeros[:size])
		client.unsent -= size
	}
}

func (client *h1) OnDrained() { client.send() }

func (client *h1) OnData(data []byte) {
	if len(client.partial) > 0 {
		client.partial = append(client.partial, data...)
		data = client.partial
	}
	for len(data) > 0 {
		if client.unread < 0 {
			end := bytes.Index(data, endOfHead)
			if end < 0 {
				break
			}
			length, err := readHead(data[:end+2])
			if err != nil {
				client.conn.Close()
				client.driver.fail(err)
				return
			}
			client.unread = length
			data = data[end+len(endOfHead):]
		}
		taken := min(client.unread, int64(len(data)))
		client.unread -= taken
		client.bytes += taken
		data = data[taken:]
		if client.unread == 0 {
			client.finish()
		}
	}
	client.partial = append(client.partial[:0], data...)
}

func (client *h1) finish() {
	bytes := client.bytes
	client.unread, client.bytes, client.isBusy = -1, 0, false
	client.driver.done(client, client.intended, wire.Now(), bytes)
}

func (client *h1) OnClosed(err error) {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if client.isBusy {
		client.driver.fail(fmt.Errorf("the proxy closed a connection: %w", err))
	}
}

// readHead gives the length of the body; answers other than 2xx, and bodies without a length, are errors.
func readHead(head []byte) (int64, error) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || line[9] != '2' {
		return 0, fmt.Errorf("answered %q", line)
	}
	at := bytes.Index(head, lengthName)
	if at < 0 {
		at = bytes.Index(bytes.ToLower(head), lengthName)
	}
	if at < 0 {
		return 0, errors.New("answered without content-length")
	}
	value := head[at+len(lengthName):]
	return strconv.ParseInt(string(bytes.TrimSpace(value[:bytes.IndexByte(value, '\r')])), 10, 64)
}
