//go:build linux

// Package tlsload opens mutual-TLS connections, one after the other in a few goroutines: full handshakes or resumed ones.
package tlsload

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"heddle.dev/bench/internal/stats"
)

// Run prints a report in JSON, with what was negotiated.
func Run(args []string) error {
	flags := flag.NewFlagSet("handshakes", flag.ExitOnError)
	address := flags.String("address", "", "where the proxy listens")
	folder := flags.String("certificates", "", "folder with ca.pem, client.pem and client.key")
	parallel := flags.Int("connections", 8, "handshakes at a time")
	seconds := flags.Float64("seconds", 2, "")
	resume := flags.Bool("resume", false, "resume sessions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := makeConfig(*folder)
	if err != nil {
		return err
	}
	total := stats.New()
	total.Begin()
	end := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	var lock sync.Mutex
	var group sync.WaitGroup
	for range *parallel {
		group.Go(func() {
			own := stats.New()
			client := &client{address: *address, config: config.Clone(), resume: *resume}
			if *resume {
				// A ticket is used once (RFC 8446, C.4): each goroutine has its own.
				client.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			client.run(end, own)
			lock.Lock()
			defer lock.Unlock()
			total.Add(own)
			total.Set("suite", client.suite)
		})
	}
	group.Wait()
	return total.Print()
}

func makeConfig(folder string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(folder+"/client.pem", folder+"/client.key")
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	bundle, err := os.ReadFile(folder + "/ca.pem")
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("bundle: no certificate in it")
	}
	return &tls.Config{
		Certificates:     []tls.Certificate{certificate},
		RootCAs:          roots,
		ServerName:       "bench.internal",
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos:       []string{"h2"},
	}, nil
}

type client struct {
	address string
	config  *tls.Config
	resume  bool
	suite   string
}

func (client *client) run(end time.Time, own *stats.Stats) {
	hasTicket := false
	for {
		began := time.Now()
		if began.After(end) {
			return
		}
		state, err := client.connect()
		if err != nil {
			own.Fail(err)
			return
		}
		if client.resume && hasTicket && !state.DidResume {
			own.Fail(errors.New("the session was not resumed"))
			return
		}
		hasTicket = true
		client.suite = fmt.Sprintf("%s, %s, %s",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID)
		own.Record(time.Since(began))
	}
}

// connect says hello in HTTP/2 and waits for the server's SETTINGS: it has finished its side, and its tickets have been read.
func (client *client) connect() (tls.ConnectionState, error) {
	raw, err := net.Dial("tcp", client.address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	// The port is free again at once, instead of a minute later.
	if err := raw.(*net.TCPConn).SetLinger(0); err != nil {
		return tls.ConnectionState{}, err
	}
	connection := tls.Client(raw, client.config)
	if err := connection.Handshake(); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("handshake: %w", err)
	}
	if _, err := io.WriteString(connection, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("preface: %w", err)
	}
	var frame [9]byte
	if _, err := io.ReadFull(connection, frame[:]); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("settings: %w", err)
	}
	return connection.ConnectionState(), nil
}
