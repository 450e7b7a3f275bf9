package broker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// ListGroups (16), versions 0 to 5: the groups that there are, those that are only
// offsets included.
//
//	3  flexible
//	4  states, and only groups in some of them
//	5  types, and only groups of some of them
func listGroups(c *conn, req *kmsg.ListGroupsRequest) answer {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	var all []group.Listed
	end := c.b.groups.look(func(g *group.Groups, _ int64) { all = g.List() })
	for _, g := range all {
		kind := g.Type()
		if !among(req.StatesFilter, g.State.String()) || !among(req.TypesFilter, kind) {
			continue
		}
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.ProtocolType, listed.GroupState, listed.GroupType = g.Group, g.ProtocolType, g.State.String(), kind
		resp.Groups = append(resp.Groups, listed)
	}
	return c.b.whenDurable(resp, end, nil, func(err error) { resp.ErrorCode = int16(codeOf(err)) })
}

// among tells whether a filter lets a word through. An empty one lets all; case
// does not matter.
func among(filter []string, word string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, word) })
}
