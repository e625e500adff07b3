//go:build linux

package wire

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Conn is one non-blocking TCP connection of a loop.
type Conn struct {
	loop    *Loop
	fd      int
	handler Handler
	out     []byte
	// How much of out the kernel has taken.
	sent      int
	isDirty   bool
	isWaiting bool
	isClosed  bool
}

// Dial connects (blocking: loopback answers at once) and hands the connection to handler, which makeHandler builds around it.
func (loop *Loop) Dial(address netip.AddrPort, makeHandler func(conn *Conn) Handler) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, socketAddress(address)); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return loop.adopt(fd, makeHandler)
}

// Listen accepts connections until the process ends.
func (loop *Loop) Listen(address netip.AddrPort, makeHandler func(conn *Conn) Handler) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("setsockopt: %w", err)
	}
	if err := unix.Bind(fd, socketAddress(address)); err != nil {
		return fmt.Errorf("bind to %s: %w", address, err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	return loop.add(fd, &listener{loop: loop, fd: fd, makeHandler: makeHandler})
}

type listener struct {
	loop        *Loop
	fd          int
	makeHandler func(conn *Conn) Handler
}

func (listener *listener) onEvent(uint32) {
	for {
		fd, _, err := unix.Accept4(listener.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = listener.loop.adopt(fd, listener.makeHandler)
	}
}

func (loop *Loop) adopt(fd int, makeHandler func(conn *Conn) Handler) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("fcntl: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("setsockopt: %w", err)
	}
	conn := &Conn{loop: loop, fd: fd}
	conn.handler = makeHandler(conn)
	return loop.add(fd, conn)
}

func socketAddress(address netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}
}

// Write queues bytes, which are sent at the end of the turn. The slice may be reused at once.
func (conn *Conn) Write(data []byte) {
	conn.out = append(conn.out, data...)
	conn.Touch()
}

// Buffer gives the queued bytes to append to; set them with SetBuffer.
func (conn *Conn) Buffer() []byte { return conn.out }

// SetBuffer takes what Buffer gave, with more behind it.
func (conn *Conn) SetBuffer(out []byte) {
	conn.out = out
	conn.Touch()
}

// Pending is how many bytes the kernel has not taken yet.
func (conn *Conn) Pending() int { return len(conn.out) - conn.sent }

// Touch makes the loop flush the connection at the end of the turn.
func (conn *Conn) Touch() {
	if !conn.isDirty && !conn.isWaiting && !conn.isClosed {
		conn.isDirty = true
		conn.loop.dirty = append(conn.loop.dirty, conn)
	}
}

// Close drops the connection; OnClosed is not called.
func (conn *Conn) Close() {
	if conn.isClosed {
		return
	}
	conn.isClosed = true
	delete(conn.loop.files, int32(conn.fd))
	_ = unix.Close(conn.fd)
}

func (conn *Conn) fail(err error) {
	if conn.isClosed {
		return
	}
	conn.Close()
	conn.handler.OnClosed(err)
}

func (conn *Conn) flush() {
	for !conn.isClosed && conn.sent < len(conn.out) {
		count, err := unix.Write(conn.fd, conn.out[conn.sent:])
		if errors.Is(err, unix.EAGAIN) {
			conn.await(true)
			return
		}
		if err != nil {
			conn.fail(fmt.Errorf("write: %w", err))
			return
		}
		conn.sent += count
	}
	if conn.isClosed {
		return
	}
	conn.out, conn.sent = conn.out[:0], 0
	conn.await(false)
	conn.handler.OnDrained()
}

func (conn *Conn) await(writable bool) {
	if conn.isWaiting == writable {
		return
	}
	conn.isWaiting = writable
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(conn.fd)}
	if writable {
		event.Events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(conn.loop.epoll, unix.EPOLL_CTL_MOD, conn.fd, &event)
}

func (conn *Conn) onEvent(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		conn.flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 || conn.isClosed {
		return
	}
	count, err := unix.Read(conn.fd, conn.loop.buffer)
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil:
		conn.fail(fmt.Errorf("read: %w", err))
	case count == 0:
		conn.fail(nil)
	default:
		conn.handler.OnData(conn.loop.buffer[:count])
	}
}
