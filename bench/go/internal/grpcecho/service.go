//go:build linux

// Package grpcecho is a gRPC service at both ends, as grpc-go makes it: unary calls and bidirectional ping-pong of small messages.
package grpcecho

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	serviceName  = "heddle.bench.v1.Echo"
	unaryMethod  = "/" + serviceName + "/Unary"
	streamMethod = "/" + serviceName + "/PingPong"
)

// A protobuf message that has a generated type already.
type message = wrapperspb.BytesValue

type echo interface {
	unary(ctx context.Context, request *message) (*message, error)
	pingPong(stream grpc.ServerStream) error
}

// description is what protoc-gen-go-grpc would write.
var description = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*echo)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Unary",
		Handler: func(service any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := &message{}
			if err := decode(request); err != nil {
				return nil, err
			}
			return service.(echo).unary(ctx, request)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "PingPong",
		Handler:       func(service any, stream grpc.ServerStream) error { return service.(echo).pingPong(stream) },
		ServerStreams: true,
		ClientStreams: true,
	}},
}
