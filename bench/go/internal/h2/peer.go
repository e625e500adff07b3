//go:build linux

// Package h2 is one end of an HTTP/2 connection, as little as a load generator and its application need: frames without objects,
// flow control, bodies of zeros. It trusts its peer; what a peer does wrong ends the measurement.
package h2

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/http2"

	"heddle.dev/bench/internal/wire"
)

const (
	frameHeader  = 9
	maxFrame     = 16_384
	startWindow  = 65_535
	streamWindow = 4 << 20
	connWindow   = 16 << 20
	// Beyond it, bodies wait until the kernel has taken what is queued.
	maxQueued = 1 << 20
)

var zeros [maxFrame]byte

// Events is told what the peer sent.
type Events interface {
	// OnReady is called once, when the peer's first SETTINGS were read.
	OnReady()
	// OnHeaders gets a whole header block; it is only valid during the call.
	OnHeaders(stream uint32, block []byte, end bool)
	OnBody(stream uint32, length int, end bool)
	// OnReset is called for RST_STREAM and, with stream 0, for GOAWAY.
	OnReset(stream uint32, code http2.ErrCode)
	OnClosed(err error)
}

type body struct {
	stream uint32
	left   int64
	window int64
}

// Peer is our end of one connection.
type Peer struct {
	// MaxStreams is what the peer allows at once.
	MaxStreams uint32

	conn    *wire.Conn
	events  Events
	partial []byte
	block   []byte
	// Whether the header block that is being continued ends its stream.
	blockEnds bool
	isReady   bool
	skip      int
	isServer  bool

	sendWindow  int64
	peerInitial int64
	bodies      []*body
	// Received and not yet credited.
	connCredit   int
	streamCredit map[uint32]int
}

// NewPeer says hello: the client's preface when it is one, and SETTINGS.
func NewPeer(conn *wire.Conn, events Events, isServer bool) *Peer {
	peer := &Peer{
		MaxStreams: 100, conn: conn, events: events, isServer: isServer,
		sendWindow: startWindow, peerInitial: startWindow, streamCredit: map[uint32]int{},
	}
	if isServer {
		peer.skip = len(http2.ClientPreface)
	} else {
		conn.Write([]byte(http2.ClientPreface))
	}
	settings := []http2.Setting{
		{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		{ID: http2.SettingMaxConcurrentStreams, Val: 1000},
	}
	if !isServer {
		settings = append(settings, http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	}
	out := peer.begin(len(settings)*6, http2.FrameSettings, 0, 0)
	for _, setting := range settings {
		out = binary.BigEndian.AppendUint16(out, uint16(setting.ID))
		out = binary.BigEndian.AppendUint32(out, setting.Val)
	}
	conn.SetBuffer(out)
	peer.writeUint32(http2.FrameWindowUpdate, 0, connWindow-startWindow)
	return peer
}

// SendHeaders writes one HEADERS frame; a block longer than a frame is not foreseen.
func (peer *Peer) SendHeaders(stream uint32, block []byte, end bool) {
	flags := http2.FlagHeadersEndHeaders
	if end {
		flags |= http2.FlagHeadersEndStream
	}
	peer.conn.SetBuffer(append(peer.begin(len(block), http2.FrameHeaders, flags, stream), block...))
}

// SendBody sends so many zeros as the windows allow, and ends the stream.
func (peer *Peer) SendBody(stream uint32, length int64) {
	sending := &body{stream: stream, left: length, window: peer.peerInitial}
	peer.bodies = append(peer.bodies, sending)
	peer.pump()
}

// Credit gives the peer back what it sent: small bodies of many streams are credited to the connection alone.
func (peer *Peer) credit(stream uint32, length int, end bool) {
	peer.connCredit += length
	if peer.connCredit >= connWindow/4 {
		peer.writeUint32(http2.FrameWindowUpdate, 0, uint32(peer.connCredit))
		peer.connCredit = 0
	}
	if end {
		delete(peer.streamCredit, stream)
		return
	}
	owed := peer.streamCredit[stream] + length
	if owed >= streamWindow/4 {
		peer.writeUint32(http2.FrameWindowUpdate, stream, uint32(owed))
		owed = 0
	}
	peer.streamCredit[stream] = owed
}

func (peer *Peer) pump() {
	for i := 0; i < len(peer.bodies); {
		body := peer.bodies[i]
		for body.left > 0 && peer.sendWindow > 0 && body.window > 0 && peer.conn.Pending() < maxQueued {
			size := min(body.left, peer.sendWindow, body.window, maxFrame)
			body.left -= size
			body.window -= size
			peer.sendWindow -= size
			var flags http2.Flags
			if body.left == 0 {
				flags = http2.FlagDataEndStream
			}
			peer.conn.SetBuffer(append(peer.begin(int(size), http2.FrameData, flags, body.stream), zeros[:size]...))
		}
		if body.left == 0 {
			peer.bodies = append(peer.bodies[:i], peer.bodies[i+1:]...)
		} else {
			i++
		}
	}
}

func (peer *Peer) begin(length int, kind http2.FrameType, flags http2.Flags, stream uint32) []byte {
	out := append(peer.conn.Buffer(), byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(out, stream)
}

func (peer *Peer) writeUint32(kind http2.FrameType, stream, value uint32) {
	peer.conn.SetBuffer(binary.BigEndian.AppendUint32(peer.begin(4, kind, 0, stream), value))
}

// OnDrained is called by the loop.
func (peer *Peer) OnDrained() { peer.pump() }

// OnClosed is called by the loop.
func (peer *Peer) OnClosed(err error) { peer.events.OnClosed(err) }

// OnData is called by the loop.
func (peer *Peer) OnData(data []byte) {
	if len(peer.partial) > 0 {
		peer.partial = append(peer.partial, data...)
		data = peer.partial
	}
	at := 0
	if peer.skip > 0 {
		if len(data) < peer.skip {
			peer.partial = append(peer.partial[:0], data...)
			return
		}
		at, peer.skip = peer.skip, 0
	}
	for len(data)-at >= frameHeader {
		length := int(data[at])<<16 | int(data[at+1])<<8 | int(data[at+2])
		end := at + frameHeader + length
		if len(data) < end {
			break
		}
		stream := binary.BigEndian.Uint32(data[at+5:]) & 0x7fffffff
		peer.onFrame(http2.FrameType(data[at+3]), http2.Flags(data[at+4]), stream, data[at+frameHeader:end])
		at = end
	}
	peer.partial = append(peer.partial[:0], data[at:]...)
}

func (peer *Peer) onFrame(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) {
	switch kind {
	case http2.FrameData:
		length := len(payload)
		end := flags.Has(http2.FlagDataEndStream)
		peer.credit(stream, length, end)
		if flags.Has(http2.FlagDataPadded) && length > 0 {
			length -= 1 + int(payload[0])
		}
		peer.events.OnBody(stream, length, end)
	case http2.FrameHeaders:
		if flags.Has(http2.FlagHeadersPadded) {
			payload = payload[1 : len(payload)-int(payload[0])]
		}
		if flags.Has(http2.FlagHeadersPriority) {
			payload = payload[5:]
		}
		peer.blockEnds = flags.Has(http2.FlagHeadersEndStream)
		if flags.Has(http2.FlagHeadersEndHeaders) {
			peer.events.OnHeaders(stream, payload, peer.blockEnds)
		} else {
			peer.block = append(peer.block[:0], payload...)
		}
	case http2.FrameContinuation:
		peer.block = append(peer.block, payload...)
		if flags.Has(http2.FlagContinuationEndHeaders) {
			peer.events.OnHeaders(stream, peer.block, peer.blockEnds)
		}
	case http2.FrameSettings:
		peer.onSettings(flags, payload)
	case http2.FramePing:
		if !flags.Has(http2.FlagPingAck) {
			peer.conn.SetBuffer(append(peer.begin(len(payload), http2.FramePing, http2.FlagPingAck, 0), payload...))
		}
	case http2.FrameWindowUpdate:
		peer.onWindow(stream, int64(binary.BigEndian.Uint32(payload)&0x7fffffff))
	case http2.FrameRSTStream:
		peer.dropBody(stream)
		peer.events.OnReset(stream, http2.ErrCode(binary.BigEndian.Uint32(payload)))
	case http2.FrameGoAway:
		peer.events.OnReset(0, http2.ErrCode(binary.BigEndian.Uint32(payload[4:])))
	}
}

func (peer *Peer) dropBody(stream uint32) {
	for i, body := range peer.bodies {
		if body.stream == stream {
			peer.bodies = append(peer.bodies[:i], peer.bodies[i+1:]...)
			return
		}
	}
}

func (peer *Peer) onSettings(flags http2.Flags, payload []byte) {
	if flags.Has(http2.FlagSettingsAck) {
		return
	}
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(payload)) {
		case http2.SettingMaxConcurrentStreams:
			peer.MaxStreams = value
		case http2.SettingInitialWindowSize:
			for _, body := range peer.bodies {
				body.window += int64(value) - peer.peerInitial
			}
			peer.peerInitial = int64(value)
		}
	}
	peer.conn.SetBuffer(peer.begin(0, http2.FrameSettings, http2.FlagSettingsAck, 0))
	if !peer.isReady {
		peer.isReady = true
		peer.events.OnReady()
	}
	peer.pump()
}

func (peer *Peer) onWindow(stream uint32, increment int64) {
	if stream == 0 {
		peer.sendWindow += increment
	} else {
		for _, body := range peer.bodies {
			if body.stream == stream {
				body.window += increment
			}
		}
	}
	peer.pump()
}

// Describe says what a reset means, for an error message.
func Describe(stream uint32, code http2.ErrCode) error {
	if stream == 0 {
		return fmt.Errorf("GOAWAY: %v", code)
	}
	return fmt.Errorf("RST_STREAM on %d: %v", stream, code)
}
