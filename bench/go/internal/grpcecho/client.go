//go:build linux

package grpcecho

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"heddle.dev/bench/internal/stats"
)

// RunClient calls for a time and prints a report in JSON.
func RunClient(args []string) error {
	flags := flag.NewFlagSet("grpc-client", flag.ExitOnError)
	address := flags.String("address", "", "where the proxy listens")
	connections := flags.Int("connections", 4, "")
	streams := flags.Int("streams", 16, "calls at a time on each connection")
	seconds := flags.Float64("seconds", 2, "")
	isStreaming := flags.Bool("ping-pong", false, "messages of bidirectional streams instead of unary calls")
	size := flags.Int("size", 64, "bytes of each message's payload")
	if err := flags.Parse(args); err != nil {
		return err
	}
	call := callUnary
	if *isStreaming {
		call = pingPong
	}
	total := stats.New()
	var lock sync.Mutex
	var group sync.WaitGroup
	var end time.Time
	var dialed []*grpc.ClientConn
	for range *connections {
		connection, err := grpc.NewClient("passthrough:///"+*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("grpc to %s: %w", *address, err)
		}
		defer connection.Close()
		// The connection stands before the measurement begins.
		if err := connection.Invoke(newContext(0), unaryMethod, &message{}, &message{}); err != nil {
			return fmt.Errorf("first call: %w", err)
		}
		dialed = append(dialed, connection)
	}
	total.Begin()
	end = time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	for _, connection := range dialed {
		for range *streams {
			group.Go(func() {
				own := stats.New()
				call(connection, end, &message{Value: make([]byte, *size)}, own)
				lock.Lock()
				defer lock.Unlock()
				total.Add(own)
			})
		}
	}
	group.Wait()
	return total.Print()
}

func callUnary(connection *grpc.ClientConn, end time.Time, request *message, own *stats.Stats) {
	answer := &message{}
	for count := 0; ; count++ {
		began := time.Now()
		if began.After(end) {
			return
		}
		if err := connection.Invoke(newContext(count), unaryMethod, request, answer); err != nil {
			own.Fail(err)
			return
		}
		own.Record(time.Since(began))
	}
}

func pingPong(connection *grpc.ClientConn, end time.Time, request *message, own *stats.Stats) {
	stream, err := connection.NewStream(newContext(0), &description.Streams[0], streamMethod)
	if err != nil {
		own.Fail(err)
		return
	}
	answer := &message{}
	for {
		began := time.Now()
		if began.After(end) {
			break
		}
		if err := stream.SendMsg(request); err != nil {
			own.Fail(err)
			return
		}
		if err := stream.RecvMsg(answer); err != nil {
			own.Fail(err)
			return
		}
		own.Record(time.Since(began))
	}
	// The stream ends well: the proxy has a whole exchange to log.
	if err := stream.CloseSend(); err != nil {
		own.Fail(err)
		return
	}
	_ = stream.RecvMsg(answer)
}

// newContext carries what every call of an instrumented client has.
func newContext(count int) context.Context {
	ids := stats.NewIDs(count)
	return metadata.AppendToOutgoingContext(context.Background(),
		"x-tenant", "acme", "x-request-id", ids.RequestID, "traceparent", ids.Traceparent)
}
