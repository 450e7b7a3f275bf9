package broker

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// ListConfigResources (74), versions 0 and 1: what has settings.
//
//	0  clients' metrics, which nobody sends here
//	1  topics, the node, and groups with settings of their own too, or only some types
func listConfigResources(c *conn, req *kmsg.ListConfigResourcesRequest) answer {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	if req.Version == 0 {
		return ready(resp)
	}
	for _, kind := range req.ResourceTypes {
		if kmsg.ConfigResourceType(kind).String() == "UNKNOWN" {
			resp.ErrorCode = int16(code.UnsupportedVersion)
			return ready(resp)
		}
	}
	add := func(kind kmsg.ConfigResourceType, name string) {
		if len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(kind)) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, int8(kind)
			resp.ConfigResources = append(resp.ConfigResources, r)
		}
	}
	for _, t := range c.b.topics.list() {
		add(kmsg.ConfigResourceTypeTopic, t.name)
	}
	add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(nodeID))
	end := c.b.groups.look(func(g *group.Groups, _ int64) {
		for own := range g.Configured() {
			add(kmsg.ConfigResourceTypeGroupConfig, own.Group)
		}
	})
	return c.b.whenDurable(resp, end, nil, func(err error) { resp.ErrorCode = int16(codeOf(err)) })
}
