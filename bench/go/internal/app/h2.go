//go:build linux

package app

import (
	"bytes"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"heddle.dev/bench/internal/h2"
	"heddle.dev/bench/internal/wire"
)

// h2Server is one HTTP/2 connection. It never decodes a request: all are answered alike, so their headers do not matter.
type h2Server struct {
	peer   *h2.Peer
	counts *counts
	body   int64
	// The answer's header block: the first fills the dynamic table, all others are indexes into it.
	block []byte
	later []byte
}

func newH2(conn *wire.Conn, counts *counts, body int64) wire.Handler {
	counts.connections.Add(1)
	var encoded bytes.Buffer
	encoder := hpack.NewEncoder(&encoded)
	encode := func() []byte {
		encoded.Reset()
		for _, field := range [][2]string{
			{":status", "200"},
			{"server", "bench"},
			{"date", "Sat, 21 Nov 2026 12:00:00 GMT"},
			{"content-type", "application/json"},
			{"cache-control", "no-store"},
			{"content-length", strconv.FormatInt(body, 10)},
		} {
			_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		return bytes.Clone(encoded.Bytes())
	}
	server := &h2Server{counts: counts, body: body, block: encode(), later: encode()}
	server.peer = h2.NewPeer(conn, server, true)
	return server.peer
}

func (server *h2Server) OnReady() {}

func (server *h2Server) OnHeaders(stream uint32, _ []byte, end bool) {
	server.counts.requests.Add(1)
	if end {
		server.answer(stream)
	}
}

func (server *h2Server) OnBody(stream uint32, length int, end bool) {
	server.counts.bytes.Add(int64(length))
	if end {
		server.answer(stream)
	}
}

func (server *h2Server) answer(stream uint32) {
	server.peer.SendHeaders(stream, server.block, false)
	server.block = server.later
	server.peer.SendBody(stream, server.body)
}

func (server *h2Server) OnReset(uint32, http2.ErrCode) {}

func (server *h2Server) OnClosed(error) {}
