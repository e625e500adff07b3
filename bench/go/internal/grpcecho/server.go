//go:build linux

package grpcecho

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
)

// RunServer serves until the process is ended.
func RunServer(args []string) error {
	flags := flag.NewFlagSet("grpc-server", flag.ExitOnError)
	address := flags.String("address", "", "where to listen")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", *address, err)
	}
	server := grpc.NewServer()
	server.RegisterService(&description, echoServer{})
	return server.Serve(listener)
}

type echoServer struct{}

func (echoServer) unary(_ context.Context, request *message) (*message, error) {
	return &message{Value: request.Value}, nil
}

func (echoServer) pingPong(stream grpc.ServerStream) error {
	request := &message{}
	for {
		if err := stream.RecvMsg(request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := stream.SendMsg(request); err != nil {
			return err
		}
	}
}
