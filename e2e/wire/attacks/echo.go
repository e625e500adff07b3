// A server that prints each request it understood to its end as "METHOD target length-of-body".
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	handler := func(w http.ResponseWriter, r *http.Request) {
		length, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		line := fmt.Sprintf("%s %s %d", r.Method, r.RequestURI, length)
		fmt.Println(line)
		fmt.Fprint(w, line)
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), DisableGeneralOptionsHandler: true}
	panic(server.Serve(listener))
}
