package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// DeleteGroups (42), versions 0 to 2: deletes groups without members, and their
// offsets.
//
//	2  flexible
func deleteGroups(c *conn, req *kmsg.DeleteGroupsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	var last int64
	for _, name := range req.Groups {
		done := kmsg.NewDeleteGroupsResponseGroup()
		done.Group = strings.Clone(name)
		var refused code.Error
		end, err := c.b.groups.decide(func(g *group.Groups, _ int64) (event group.Event) {
			refused, event = g.DecideDelete(done.Group)
			return event
		})
		done.ErrorCode = int16(refused)
		if err != nil {
			done.ErrorCode = int16(codeOf(err))
		}
		last = max(last, end)
		resp.Groups = append(resp.Groups, done)
	}
	return c.b.whenDurable(resp, last, nil, func(err error) {
		for i := range resp.Groups {
			if err != nil {
				resp.Groups[i].ErrorCode = int16(codeOf(err))
			}
		}
	})
}
