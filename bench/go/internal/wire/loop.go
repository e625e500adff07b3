//go:build linux

// Package wire is a single-threaded event loop over epoll: what the load generator and the application share, so that neither is the
// limit of a measurement. Go's own network poller costs several microseconds per read and wakes timers once a millisecond.
package wire

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 256 * 1024
	maxEvents = 1024
)

// Handler is told what happens on one connection.
type Handler interface {
	// OnData gets what was read; the slice is only valid during the call.
	OnData(data []byte)
	// OnDrained is called when everything that was written has been taken by the kernel.
	OnDrained()
	// OnClosed is called once; err is nil when the peer closed.
	OnClosed(err error)
}

// Loop runs connections, one timer and commands of other goroutines on the calling thread.
type Loop struct {
	epoll   int
	timer   int
	onTimer func(now time.Duration)
	files   map[int32]file
	dirty   []*Conn
	buffer  []byte
	stopped bool
}

type file interface {
	onEvent(events uint32)
}

// New makes a loop; call Run on the same goroutine, which is locked to its thread.
func New() (*Loop, error) {
	runtime.LockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	loop := &Loop{epoll: epoll, timer: timer, files: map[int32]file{}, buffer: make([]byte, readSize)}
	if err := loop.add(timer, (*timerFile)(loop)); err != nil {
		return nil, err
	}
	return loop, nil
}

var origin, originMonotonic = readClocks()

func readClocks() (time.Time, time.Duration) {
	var spec unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &spec)
	return time.Now(), time.Duration(spec.Nano())
}

// Now is CLOCK_MONOTONIC, the clock that other processes of the machine share; read without a system call.
func Now() time.Duration { return originMonotonic + time.Since(origin) }

// At calls onTimer at a time of Now, once; a later call replaces an earlier one.
func (loop *Loop) At(when time.Duration, onTimer func(now time.Duration)) {
	loop.onTimer = onTimer
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(when), 1))}
	_ = unix.TimerfdSettime(loop.timer, unix.TFD_TIMER_ABSTIME, &spec, nil)
}

// Stop lets Run return after the current turn.
func (loop *Loop) Stop() { loop.stopped = true }

// Run handles events until Stop.
func (loop *Loop) Run() error {
	events := make([]unix.EpollEvent, maxEvents)
	loop.flush()
	for !loop.stopped {
		count, err := unix.EpollWait(loop.epoll, events, -1)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, event := range events[:count] {
			if file, ok := loop.files[event.Fd]; ok {
				file.onEvent(event.Events)
			}
		}
		loop.flush()
	}
	return nil
}

// flush writes what the turn has put into connections: one write each.
func (loop *Loop) flush() {
	for i := 0; i < len(loop.dirty); i++ {
		conn := loop.dirty[i]
		conn.isDirty = false
		conn.flush()
	}
	loop.dirty = loop.dirty[:0]
}

func (loop *Loop) add(fd int, file file) error {
	loop.files[int32(fd)] = file
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(loop.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

type timerFile Loop

func (timer *timerFile) onEvent(uint32) {
	var expirations [8]byte
	_, _ = unix.Read(timer.timer, expirations[:])
	if onTimer := timer.onTimer; onTimer != nil {
		timer.onTimer = nil
		onTimer(Now())
	}
}
