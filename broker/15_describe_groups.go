package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// DescribeGroups (15), versions 0 to 6: the state and the members of groups.
//
//	3  which operations are allowed: all of them
//	4  static members
//	5  flexible
//	6  a group that is not there is an error; before, it is dead
func describeGroups(c *conn, req *kmsg.DescribeGroupsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	end := c.b.groups.look(func(g *group.Groups, _ int64) {
		for _, name := range req.Groups {
			resp.Groups = append(resp.Groups, describedGroup(g, strings.Clone(name), req))
		}
	})
	return c.b.whenDurable(resp, end, nil, func(err error) {
		for i := range resp.Groups {
			if err != nil {
				resp.Groups[i].ErrorCode = int16(codeOf(err))
			}
		}
	})
}

func describedGroup(g *group.Groups, name string, req *kmsg.DescribeGroupsRequest) kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.AuthorizedOperations = name, notTold
	if req.IncludeAuthorizedOperations {
		d.AuthorizedOperations = groupOperations
	}
	found := g.Describe(name)
	d.State, d.ProtocolType, d.Protocol = found.State.String(), found.ProtocolType, found.Protocol
	if found.State == group.Dead && req.Version >= 6 {
		err := refuse(code.GroupIDNotFound, "there is no group %q", name)
		d.ErrorCode, d.ErrorMessage = int16(codeOf(err)), messageOf(err)
	}
	for _, m := range found.Members {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = m.ID, textOrNil(m.Instance)
		member.ClientID, member.ClientHost = m.ClientID, m.ClientHost
		member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
		d.Members = append(d.Members, member)
	}
	return d
}
