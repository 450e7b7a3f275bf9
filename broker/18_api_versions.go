package broker

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// ApiVersions (18), versions 0 to 4: which requests the node serves.
//
//	1  throttle time
//	3  flexible; the client's name and version; features
//	4  features whose lowest version is 0
func (c *conn) apiVersions(_ context.Context, req *kmsg.ApiVersionsRequest) answer {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	c.b.listAPIs(resp)
	return ready(resp)
}

// unsupportedAPIVersions answers a version that is not served: in version 0, which
// every client reads, with what is (KIP-511).
func (b *Broker) unsupportedAPIVersions() *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(code.UnsupportedVersion)
	b.listAPIs(resp)
	return resp
}

func (b *Broker) listAPIs(resp *kmsg.ApiVersionsResponse) {
	for _, key := range slices.Sorted(maps.Keys(b.apis)) {
		a := kmsg.NewApiVersionsResponseApiKey()
		a.ApiKey, a.MinVersion, a.MaxVersion = key, b.apis[key].announced, b.apis[key].max
		resp.ApiKeys = append(resp.ApiKeys, a)
	}
}
