package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// AlterConfigs (33), versions 0 to 2: settings of topics and groups, in place of all
// that they have.
//
//	2  flexible
func alterConfigs(c *conn, req *kmsg.AlterConfigsRequest) answer {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	var named []resource
	for i := range req.Resources {
		named = append(named, resource{req.Resources[i].ResourceType, strings.Clone(req.Resources[i].ResourceName)})
	}
	edit := func(i int, may catalog, own map[string]string) error {
		clear(own)
		return c.b.settings.replace(may, own, req.Resources[i].Configs)
	}
	c.b.configs().alterEach(named, req.ValidateOnly, edit, func(r resource, err error) {
		done := kmsg.NewAlterConfigsResponseResource()
		done.ResourceType, done.ResourceName = r.kind, r.name
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		resp.Resources = append(resp.Resources, done)
	})
	return ready(resp)
}

func (s *settings) replace(may catalog, own map[string]string, asked []kmsg.AlterConfigsRequestResourceConfig) error {
	for i := range asked {
		if _, again := own[asked[i].Name]; again {
			return refuse(code.InvalidRequest, "setting %s is named twice", asked[i].Name)
		}
		if err := s.amend(may, own, asked[i].Name, kmsg.IncrementalAlterConfigOpSet, asked[i].Value); err != nil {
			return err
		}
	}
	return nil
}
