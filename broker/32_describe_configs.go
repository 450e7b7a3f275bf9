package broker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeConfigs (32), versions 0 to 4: the settings of topics, groups and
// the node.
//
//	1  where a value comes from, and from where else it could
//	3  types and explanations
//	4  flexible
func describeConfigs(c *conn, req *kmsg.DescribeConfigsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for i := range req.Resources {
		asked := &req.Resources[i]
		done := kmsg.NewDescribeConfigsResponseResource()
		done.ResourceType, done.ResourceName = asked.ResourceType, strings.Clone(asked.ResourceName)
		all, err := c.b.configs().describe(done.ResourceType, done.ResourceName)
		for j := range all {
			if len(asked.ConfigNames) == 0 || slices.Contains(asked.ConfigNames, all[j].setting.name) {
				done.Configs = append(done.Configs, all[j].describe(req))
			}
		}
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		resp.Resources = append(resp.Resources, done)
	}
	return ready(resp)
}

func (e *configEntry) describe(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	d := kmsg.NewDescribeConfigsResponseResourceConfig()
	d.Name, d.Value, d.ReadOnly = e.setting.name, textOrNil(e.value), e.fixed
	d.Source, d.IsDefault = e.source, e.source == kmsg.ConfigSourceDefaultConfig
	d.ConfigType = e.setting.kind
	if e.setting.kind == secret {
		d.Value, d.IsSensitive = nil, true
		return d
	}
	if req.IncludeDocumentation {
		d.Documentation = &e.setting.doc
	}
	if !req.IncludeSynonyms {
		return d
	}
	for _, synonym := range e.synonyms {
		s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		s.Name, s.Value, s.Source = synonym.name, textOrNil(synonym.value), synonym.source
		d.ConfigSynonyms = append(d.ConfigSynonyms, s)
	}
	return d
}
