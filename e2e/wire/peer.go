// A server and a client of Go's net/http: a second opinion beside Node's. `peer server` prints "port N" and speaks HTTP/1.1 and
// HTTP/2 without TLS there; `peer client http1|http2 HOST:PORT` runs its cases and prints "ok NAME" or "failed NAME: WHY".
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var file = bytes.Repeat([]byte("heddle file 0123"), 65536)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "server" {
		serve()
	} else if len(os.Args) == 4 && os.Args[1] == "client" {
		os.Exit(call(os.Args[2], os.Args[3]))
	} else {
		fmt.Fprintln(os.Stderr, "Usage: peer server | peer client http1|http2 HOST:PORT")
		os.Exit(2)
	}
}

func serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "file.txt", time.Time{}, bytes.NewReader(file))
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("link")
		io.WriteString(w, "page")
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("trailer", "x-sum")
		io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "got %s", r.Trailer.Get("x-req"))
		w.Header().Set("x-sum", "4")
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d;", i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		cancelled.Add(1)
	})
	mux.HandleFunc("/cancelled", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, cancelled.Load()) })
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed) // the body is not read
	})
	mux.HandleFunc("/ws", hijack)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	panic((&http.Server{Handler: mux, Protocols: &protocols}).Serve(listener))
}

var cancelled atomic.Int64

// Accepts the key of RFC 6455's own example, and then sends back what comes.
func hijack(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	connection, both, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	io.WriteString(both, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	both.Flush()
	io.Copy(connection, both)
}

type peer struct {
	client *http.Client
	base   string
	is1    bool
}

func call(protocol, host string) int {
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "http1")
	protocols.SetUnencryptedHTTP2(protocol == "http2")
	transport := &http.Transport{Protocols: &protocols, ExpectContinueTimeout: time.Minute, MaxIdleConnsPerHost: 8}
	p := &peer{&http.Client{Transport: transport, Timeout: time.Minute}, "http://" + host, protocol == "http1"}
	code := 0
	for _, one := range cases {
		if err := one.run(p); err != nil {
			fmt.Printf("failed %s: %v\n", one.name, err)
			code = 1
		} else {
			fmt.Printf("ok %s\n", one.name)
		}
	}
	return code
}

var cases = []struct {
	name string
	run  func(*peer) error
}{
	{"a file", (*peer).getFile},
	{"a range of it", (*peer).getRange},
	{"HEAD", (*peer).head},
	{"an upload of unknown length", (*peer).upload},
	{"Expect: 100-continue", (*peer).expect},
	{"Expect: 100-continue refused", (*peer).expectRefused},
	{"103 before the answer", (*peer).hints},
	{"trailers both ways", (*peer).trailers},
	{"an answer in pieces", (*peer).chunks},
	{"a hundred requests at once", (*peer).many},
	{"a request given up", (*peer).cancel},
	{"an upgrade that is hijacked", (*peer).upgrade},
}

func (p *peer) do(method, path string, body io.Reader, header ...string) (*http.Response, string, error) {
	return p.doWith(context.Background(), method, path, body, header...)
}

func (p *peer) doWith(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.base+path, body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

func want(what string, got, wanted any) error {
	if got == wanted {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, wanted)
}

func (p *peer) getFile() error {
	response, body, err := p.do("GET", "/file", nil)
	if err != nil {
		return err
	}
	return errors.Join(want("body", body == string(file), true), want("version", response.ProtoMajor == 1, p.is1))
}

func (p *peer) getRange() error {
	response, body, err := p.do("GET", "/file", nil, "range", "bytes=7-10")
	if err != nil {
		return err
	}
	return errors.Join(want("status", response.StatusCode, 206), want("body", body, "file"))
}

func (p *peer) head() error {
	response, body, err := p.do("HEAD", "/file", nil)
	if err != nil {
		return err
	}
	return errors.Join(want("length", response.ContentLength, int64(len(file))), want("body", body, ""))
}

func (p *peer) upload() error {
	_, body, err := p.do("POST", "/say", struct{ io.Reader }{bytes.NewReader(file)})
	if err != nil {
		return err
	}
	return want("body", body, fmt.Sprintf("POST /say %d", len(file)))
}

func (p *peer) expect() error {
	got := false
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: func() { got = true }})
	_, body, err := p.doWith(ctx, "POST", "/say", bytes.NewReader(file), "expect", "100-continue")
	if err != nil {
		return err
	}
	return errors.Join(want("100", got, true), want("body", body, fmt.Sprintf("POST /say %d", len(file))))
}

func (p *peer) expectRefused() error {
	response, _, err := p.do("POST", "/refuse", bytes.NewReader(file), "expect", "100-continue")
	if err != nil {
		return err
	}
	return want("status", response.StatusCode, 417)
}

func (p *peer) hints() error {
	var seen []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		seen = append(seen, fmt.Sprintf("%d %s", code, header.Get("link")))
		return nil
	}}
	_, body, err := p.doWith(httptrace.WithClientTrace(context.Background(), trace), "GET", "/hints", nil)
	if err != nil {
		return err
	}
	return errors.Join(want("body", body, "page"), want("1xx", strings.Join(seen, ","), "103 </a.css>; rel=preload"))
}

func (p *peer) trailers() error {
	request, err := http.NewRequest("POST", p.base+"/trailers", struct{ io.Reader }{strings.NewReader("abc")})
	if err != nil {
		return err
	}
	request.Header.Set("te", "trailers")
	request.Trailer = http.Header{"X-Req": {"3"}}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return errors.Join(err, want("body", string(body), "got 3"), want("trailer", response.Trailer.Get("x-sum"), "4"))
}

func (p *peer) chunks() error {
	_, body, err := p.do("GET", "/chunks", nil)
	return errors.Join(err, want("body", body, "part 0;part 1;part 2;"))
}

func (p *peer) many() error {
	errs := make([]error, 100)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			_, body, err := p.do("POST", "/say", strings.NewReader(strings.Repeat("x", i*100)))
			errs[i] = errors.Join(err, want("body", body, fmt.Sprintf("POST /say %d", i*100)))
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (p *peer) cancel() error {
	_, before, err := p.do("GET", "/cancelled", nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(ctx, "GET", p.base+"/slow", nil)
	response, err := p.client.Do(request)
	if err != nil {
		stop()
		return err
	}
	stop()
	response.Body.Close()
	for range 1000 {
		if _, now, err := p.do("GET", "/cancelled", nil); err != nil || now != before {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the server did not hear of it within 10 s")
}

// By hand: net/http's client has no half-close.
func (p *peer) upgrade() error {
	if !p.is1 {
		return nil
	}
	connection, err := net.DialTimeout("tcp", strings.TrimPrefix(p.base, "http://"), time.Minute)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(connection, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != 101 {
		return want("status", response.StatusCode, 503) // Go's HTTP/2 server takes no extended CONNECT
	}
	io.WriteString(connection, "ping")
	echo := make([]byte, 4)
	_, err = io.ReadFull(reader, echo)
	return errors.Join(err, want("echo", string(echo), "ping"),
		want("accept", response.Header.Get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
}
