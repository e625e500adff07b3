//go:build linux

package app

import "heddle.dev/bench/internal/wire"

// tcp takes all that comes; after as many bytes as its own body has, it sends that.
type tcp struct {
	conn   *wire.Conn
	counts *counts
	unread int64
	unsent int64
}

func newTCP(conn *wire.Conn, counts *counts, body int64) wire.Handler {
	counts.connections.Add(1)
	return &tcp{conn: conn, counts: counts, unread: body, unsent: body}
}

func (conn *tcp) OnData(data []byte) {
	conn.counts.bytes.Add(int64(len(data)))
	conn.unread -= int64(len(data))
	if conn.unread <= 0 {
		conn.OnDrained()
	}
}

func (conn *tcp) OnDrained() {
	for conn.unread <= 0 && conn.unsent > 0 && conn.conn.Pending() < 4*chunk {
		size := min(conn.unsent, chunk)
		conn.conn.Write(zeros[:size])
		conn.unsent -= size
	}
}

func (conn *tcp) OnClosed(error) {}
