//go:build tools

// The programs of the image that the Gateway API conformance suite deploys.
package echo

import (
	_ "istio.io/istio/pkg/test/echo/cmd/client"
	_ "istio.io/istio/pkg/test/echo/cmd/server"
)
