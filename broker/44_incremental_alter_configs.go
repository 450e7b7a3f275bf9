package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// IncrementalAlterConfigs (44), versions 0 and 1: changes to single settings of
// topics and groups (KIP-339). The others stay.
//
//	1  flexible
func incrementalAlterConfigs(c *conn, req *kmsg.IncrementalAlterConfigsRequest) answer {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	var named []resource
	for i := range req.Resources {
		named = append(named, resource{req.Resources[i].ResourceType, strings.Clone(req.Resources[i].ResourceName)})
	}
	edit := func(i int, may catalog, own map[string]string) error {
		return c.b.settings.amendAll(may, own, req.Resources[i].Configs)
	}
	c.b.configs().alterEach(named, req.ValidateOnly, edit, func(r resource, err error) {
		done := kmsg.NewIncrementalAlterConfigsResponseResource()
		done.ResourceType, done.ResourceName = r.kind, r.name
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		resp.Resources = append(resp.Resources, done)
	})
	return ready(resp)
}

func (s *settings) amendAll(may catalog, own map[string]string, asked []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	seen := make(map[string]bool)
	for i := range asked {
		if seen[asked[i].Name] {
			return refuse(code.InvalidRequest, "setting %s is named twice", asked[i].Name)
		}
		seen[asked[i].Name] = true
		if err := s.amend(may, own, asked[i].Name, asked[i].Op, asked[i].Value); err != nil {
			return err
		}
	}
	return nil
}
