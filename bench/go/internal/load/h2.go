//go:build linux

package load

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"heddle.dev/bench/internal/h2"
	"heddle.dev/bench/internal/wire"
)

// h2Client is one connection with several requests at a time.
type h2Client struct {
	driver  *driver
	peer    *h2.Peer
	head    *head2
	decoder *hpack.Decoder
	upload  int64
	slots   int
	next    uint32
	running map[uint32]*h2Slot
	status  string
}

// h2Slot is room for one stream at a time.
type h2Slot struct {
	client   *h2Client
	intended time.Duration
	bytes    int64
}

func dialH2(driver *driver, options options, streams int) error {
	client := &h2Client{
		driver: driver, head: newHead2(options.host, options.upload), upload: options.upload,
		slots: streams, next: 1, running: map[uint32]*h2Slot{},
	}
	const tableSize = 4096
	client.decoder = hpack.NewDecoder(tableSize, func(field hpack.HeaderField) {
		if field.Name == ":status" {
			client.status = field.Value
		}
	})
	return driver.loop.Dial(options.address, func(conn *wire.Conn) wire.Handler {
		client.peer = h2.NewPeer(conn, client, false)
		return client.peer
	})
}

func (client *h2Client) OnReady() {
	slots := make([]slot, min(client.slots, int(client.peer.MaxStreams)))
	for i := range slots {
		slots[i] = &h2Slot{client: client}
	}
	client.driver.ready(slots...)
}

func (slot *h2Slot) start(intended time.Duration) {
	client := slot.client
	slot.intended, slot.bytes = intended, 0
	stream := client.next
	client.next += 2
	client.running[stream] = slot
	client.peer.SendHeaders(stream, client.head.next(), client.upload == 0)
	if client.upload > 0 {
		client.peer.SendBody(stream, client.upload)
	}
}

func (client *h2Client) OnHeaders(stream uint32, block []byte, end bool) {
	client.status = ""
	_, err := client.decoder.Write(block)
	if err == nil {
		err = client.decoder.Close()
	}
	if err != nil {
		client.driver.fail(fmt.Errorf("header block: %w", err))
		return
	}
	// No status: trailers.
	if client.status != "" && client.status[0] != '2' {
		client.failStream(stream, fmt.Errorf("answered %s", client.status))
		return
	}
	if end {
		client.finish(stream)
	}
}

func (client *h2Client) OnBody(stream uint32, length int, end bool) {
	if slot, ok := client.running[stream]; ok {
		slot.bytes += int64(length)
	}
	if end {
		client.finish(stream)
	}
}

func (client *h2Client) finish(stream uint32) {
	slot, ok := client.running[stream]
	if !ok {
		return
	}
	delete(client.running, stream)
	client.driver.done(slot, slot.intended, wire.Now(), slot.bytes)
}

func (client *h2Client) failStream(stream uint32, err error) {
	if _, ok := client.running[stream]; ok {
		delete(client.running, stream)
		client.driver.fail(err)
	}
}

func (client *h2Client) OnReset(stream uint32, code http2.ErrCode) {
	if stream != 0 {
		client.failStream(stream, h2.Describe(stream, code))
	}
}

func (client *h2Client) OnClosed(err error) {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	for stream := range client.running {
		client.failStream(stream, fmt.Errorf("the proxy closed a connection: %w", err))
	}
}
