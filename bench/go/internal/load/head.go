//go:build linux

package load

import (
	"fmt"
	"math/rand/v2"

	"golang.org/x/net/http2/hpack"

	"heddle.dev/bench/internal/stats"
)

// What a service sends beside the path and the two ids: with them and the pseudo-fields 15 fields, 1 KB.
var fixedFields = []hpack.HeaderField{
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
	{Name: "accept", Value: "application/json, text/plain, */*"},
	{Name: "accept-language", Value: "en-GB,en;q=0.9,de;q=0.8"},
	{Name: "accept-encoding", Value: "gzip, deflate, br"},
	// nghttp2 and browsers never index it: others could guess it by the size of what is sent.
	{Name: "authorization", Sensitive: true, Value: "Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9." +
		"eyJzdWIiOiJib2IiLCJhdWQiOiJzaG9wIiwiZXhwIjoxODAwMDAwMDAwLCJzY29wZSI6Im9yZGVycyBjYXJ0IHBheW1lbnRzIn0." +
		"MEUCIQDz5Cj8l0m8zS4vC4xq0b1v6kXo5Wm3m2bYp0yq3w2nSQIgTq8o1a7uR5c3H9Jm2k4dZ6f8s0e1x2v3b4n5m6k7"},
	{Name: "x-tenant", Value: "acme"},
	{Name: "cookie", Value: "session=3f8a2c1b9d7e4f60a1b2c3d4e5f60718; theme=dark; consent=1"},
	{Name: "cache-control", Value: "no-cache"},
	{Name: "referer", Value: "https://shop.example.com/checkout/cart/overview?step=2"},
}

const authority = "orders.shop.svc.cluster.local"

// unique is what no two requests share. Its buffers are reused.
type unique struct {
	random      *rand.PCG
	count       uint64
	path        []byte
	requestID   []byte
	traceparent []byte
}

func newUnique() *unique {
	return &unique{
		random:      rand.NewPCG(rand.Uint64(), rand.Uint64()),
		path:        []byte("/api/v1/orders/000000000000?expand=items,customer&page=00000000"),
		requestID:   []byte("00000000-0000-4000-8000-000000000000"),
		traceparent: []byte("00-00000000000000000000000000000000-0000000000000000-00"),
	}
}

func (unique *unique) next() {
	unique.count++
	first, second, third := unique.random.Uint64(), unique.random.Uint64(), unique.random.Uint64()
	writeHex(unique.path[15:27], first)
	writeHex(unique.path[len(unique.path)-8:], unique.count)
	writeHex(unique.requestID[0:8], second)
	writeHex(unique.requestID[9:13], second>>32)
	writeHex(unique.requestID[15:18], second>>48)
	writeHex(unique.requestID[20:23], third>>48)
	writeHex(unique.requestID[24:36], third)
	writeHex(unique.traceparent[3:19], first)
	writeHex(unique.traceparent[19:35], second)
	writeHex(unique.traceparent[36:52], third)
	unique.traceparent[54], unique.requestID[14] = '0', stats.NotSampled
	if unique.count%stats.SampledShare == 0 {
		unique.traceparent[54], unique.requestID[14] = '1', stats.Sampled
	}
}

func writeHex(into []byte, value uint64) {
	for i := range into {
		into[i] = "0123456789abcdef"[value&15]
		value >>= 4
	}
}

// head1 writes HTTP/1.1 heads.
type head1 struct {
	unique *unique
	start  string
	rest   string
}

func newHead1(host string, upload int64) *head1 {
	if host == "" {
		host = authority
	}
	method := "GET"
	rest := fmt.Sprintf(" HTTP/1.1\r\nHost: %s\r\n", host)
	for _, field := range fixedFields {
		rest += fmt.Sprintf("%s: %s\r\n", titleCase(field.Name), field.Value)
	}
	if upload > 0 {
		method = "PUT"
		rest += fmt.Sprintf("Content-Length: %d\r\n", upload)
	}
	return &head1{unique: newUnique(), start: method + " ", rest: rest}
}

func titleCase(name string) string {
	letters := []byte(name)
	for i := range letters {
		if i == 0 || letters[i-1] == '-' {
			letters[i] -= 'a' - 'A'
		}
	}
	return string(letters)
}

func (head *head1) appendTo(out []byte) []byte {
	head.unique.next()
	out = append(out, head.start...)
	out = append(out, head.unique.path...)
	out = append(out, head.rest...)
	out = append(out, "X-Request-Id: "...)
	out = append(out, head.unique.requestID...)
	out = append(out, "\r\nTraceparent: "...)
	out = append(out, head.unique.traceparent...)
	return append(out, "\r\n\r\n"...)
}

// head2 writes header blocks as nghttp2 does: paths are not put into the dynamic table, credentials never, all else is.
type head2 struct {
	unique  *unique
	encoder *hpack.Encoder
	block   []byte
	host    string
	upload  int64
}

func newHead2(host string, upload int64) *head2 {
	if host == "" {
		host = authority
	}
	head := &head2{unique: newUnique(), host: host, upload: upload}
	head.encoder = hpack.NewEncoder((*blockWriter)(head))
	return head
}

type blockWriter head2

func (writer *blockWriter) Write(data []byte) (int, error) {
	writer.block = append(writer.block, data...)
	return len(data), nil
}

// RFC 7541, appendix A: the index of :path.
const pathIndex = 4

// next is valid until the next call.
func (head *head2) next() []byte {
	head.unique.next()
	head.block = head.block[:0]
	method := "GET"
	if head.upload > 0 {
		method = "PUT"
	}
	head.write(":method", method)
	head.write(":scheme", "http")
	head.write(":authority", head.host)
	head.block = append(head.block, pathIndex)
	path := string(head.unique.path)
	head.block = hpack.AppendHuffmanString(appendHuffmanLength(head.block, path), path)
	for _, field := range fixedFields {
		_ = head.encoder.WriteField(field)
	}
	if head.upload > 0 {
		head.write("content-length", fmt.Sprint(head.upload))
	}
	head.write("x-request-id", string(head.unique.requestID))
	head.write("traceparent", string(head.unique.traceparent))
	return head.block
}

func (head *head2) write(name, value string) {
	_ = head.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
}

// appendHuffmanLength is the length of a string in Huffman's code, with its flag; less than 127 (RFC 7541, 5.2).
func appendHuffmanLength(block []byte, text string) []byte {
	const huffman = 0x80
	return append(block, huffman|byte(hpack.HuffmanEncodeLength(text)))
}
