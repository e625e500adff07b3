//go:build linux

package app

import (
	"io"
	"net/http"
)

// serveCollector takes spans in OTLP over HTTP and drops them. Exporters send chunks, which the loop's HTTP/1.1 does not read.
func serveCollector(address string, counts *counts) error {
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		taken, _ := io.Copy(io.Discard, request.Body)
		counts.requests.Add(1)
		counts.bytes.Add(taken)
		writer.Header().Set("content-type", "application/x-protobuf")
	})
	return http.ListenAndServe(address, handler)
}
