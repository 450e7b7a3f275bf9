package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// Heartbeat (12), versions 0 to 4: a member lives.
//
//	3  static members
//	4  flexible
func (c *conn) heartbeat(_ context.Context, req *kmsg.HeartbeatRequest) answer {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	asked := group.HeartbeatRequest{
		Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID), Generation: req.Generation,
	}
	c.b.groups.look(func(g *group.Groups, now int64) { resp.ErrorCode = int16(g.Heartbeat(asked, now)) })
	return ready(resp)
}
