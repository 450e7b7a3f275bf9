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
	listFeatures(resp)
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

// listFeatures says that every end of a transaction raises the epoch (KIP-890) and
// that groups may be of the consumer protocol (KIP-848): a client goes by that, and
// not by the versions of the requests.
func listFeatures(resp *kmsg.ApiVersionsResponse) {
	listFeature(resp, "group.version", 1, 1)
	listFeature(resp, "transaction.version", 1, 2)
	resp.FinalizedFeaturesEpoch = 0
}

func listFeature(resp *kmsg.ApiVersionsResponse, name string, least, most int16) {
	supported := kmsg.NewApiVersionsResponseSupportedFeature()
	supported.Name, supported.MinVersion, supported.MaxVersion = name, least, most
	resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
	final := kmsg.NewApiVersionsResponseFinalizedFeature()
	final.Name, final.MinVersionLevel, final.MaxVersionLevel = name, most, most
	resp.FinalizedFeatures = append(resp.FinalizedFeatures, final)
}

func (b *Broker) listAPIs(resp *kmsg.ApiVersionsResponse) {
	for _, key := range slices.Sorted(maps.Keys(b.apis)) {
		a := kmsg.NewApiVersionsResponseApiKey()
		a.ApiKey, a.MinVersion, a.MaxVersion = key, b.apis[key].announced, b.apis[key].max
		resp.ApiKeys = append(resp.ApiKeys, a)
	}
}
