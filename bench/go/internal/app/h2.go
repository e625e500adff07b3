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

// h2Server is one HTTP/2 connection. It never decodes a request: what it answers depends on whether there is a body.
type h2Server struct {
	peer    *h2.Peer
	counts  *counts
	body    int64
	encoder *hpack.Encoder
	encoded bytes.Buffer
	// Header blocks by the length of the body: the first fills the dynamic table, all later ones are indexes into it.
	blocks map[int64][]byte
}

func newH2(conn *wire.Conn, counts *counts, body int64) wire.Handler {
	counts.connections.Add(1)
	server := &h2Server{counts: counts, body: body, blocks: map[int64][]byte{}}
	server.encoder = hpack.NewEncoder(&server.encoded)
	server.peer = h2.NewPeer(conn, server, true)
	return server.peer
}

func (server *h2Server) encode(body int64) []byte {
	server.encoded.Reset()
	for _, field := range [][2]string{
		{":status", "200"},
		{"server", "bench"},
		{"date", "Sat, 21 Nov 2026 12:00:00 GMT"},
		{"content-type", "application/json"},
		{"cache-control", "no-store"},
		{"content-length", strconv.FormatInt(body, 10)},
	} {
		_ = server.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return bytes.Clone(server.encoded.Bytes())
}

func (server *h2Server) OnReady() {}

func (server *h2Server) OnHeaders(stream uint32, _ []byte, end bool) {
	server.counts.requests.Add(1)
	if end {
		server.answer(stream, server.body)
	}
}

func (server *h2Server) OnBody(stream uint32, length int, end bool) {
	server.counts.bytes.Add(int64(length))
	if end {
		server.answer(stream, smallBody)
	}
}

func (server *h2Server) answer(stream uint32, body int64) {
	block := server.blocks[body]
	if block == nil {
		// Other answers on the same connection would move its indexes.
		clear(server.blocks)
		server.peer.SendHeaders(stream, server.encode(body), false)
		server.blocks[body] = server.encode(body)
	} else {
		server.peer.SendHeaders(stream, block, false)
	}
	server.peer.SendBody(stream, body)
}

func (server *h2Server) OnReset(uint32, http2.ErrCode) {}

func (server *h2Server) OnClosed(error) {}
