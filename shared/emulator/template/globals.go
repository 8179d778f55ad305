package template

import (
	"fmt"
	"slices"
)

// globals are the keys that SAM allows in each section of Globals (SAM's globals.py). The
// keys for other types are not checked: a resource of such a type is refused anyway.
//
//nolint:gochecknoglobals // a table, never written
var globals = map[string][]string{
	"Function": {
		"Architectures", "AssumeRolePolicyDocument", "AutoPublishAlias", "AutoPublishAliasAllProperties",
		"CapacityProviderConfig", "CodeSigningConfigArn", "CodeUri", "DeadLetterQueue", "DeploymentPreference",
		"Description", "DurableConfig", "Environment", "EphemeralStorage", "EventInvokeConfig",
		"FileSystemConfigs", "FunctionScalingConfig", "FunctionUrlConfig", "Handler", "KmsKeyArn", "Layers",
		"LoggingConfig", "MemorySize", "PermissionsBoundary", "PropagateTags", "ProvisionedConcurrencyConfig",
		"PublishToLatestPublished", "RecursiveLoop", "ReservedConcurrentExecutions", "RolePath", "Runtime",
		"RuntimeManagementConfig", "SnapStart", "SourceKMSKeyArn", "Tags", "TenancyConfig", "Timeout", "Tracing",
		"VersionDeletionPolicy", "VpcConfig",
	},
	"HttpApi": {
		"AccessLogSettings", "Auth", "CorsConfiguration", "DefaultRouteSettings", "Domain", "FailOnWarnings",
		"PropagateTags", "RouteSettings", "StageVariables", "Tags",
	},
	"Api": nil, "CapacityProvider": nil, "LayerVersion": nil, "SimpleTable": nil, "StateMachine": nil, "WebSocketApi": nil,
}

// checkGlobals refuses what SAM refuses.
func (r *reader) checkGlobals() {
	section := r.root.get("Globals")
	if section == nil {
		return
	}
	if section.kind != object {
		r.add(section, "Globals", "it must be a mapping, not %s", section.describe())
		return
	}
	for _, e := range section.entries {
		keys, ok := globals[e.key]
		if !ok {
			r.add(e.at, "Globals", "SAM has no section %s", quote(e.key))
			continue
		}
		if e.value.kind != object {
			r.add(e.value, "Globals."+e.key, "it must be a mapping, not %s", e.value.describe())
			continue
		}
		for _, property := range e.value.entries {
			if keys != nil && !slices.Contains(keys, property.key) {
				r.add(property.at, "Globals."+e.key, "SAM does not allow %s here", quote(property.key))
			}
		}
	}
	r.markGlobals(section, "Globals")
}

// markGlobals records the path of each key, so that what is merged into several resources
// can be named once, where it stands.
func (r *reader) markGlobals(n *node, path string) {
	if _, argument, ok := n.intrinsic(); ok {
		for _, item := range argument.items {
			r.markGlobals(item, path)
		}
		return
	}
	for i, item := range n.items {
		r.markGlobals(item, fmt.Sprintf("%s[%d]", path, i))
	}
	for _, e := range n.entries {
		r.global[e.at] = path + "." + e.key
		r.markGlobals(e.value, path+"."+e.key)
	}
}

// withGlobals merges a section of Globals into a resource's properties.
func (r *reader) withGlobals(section string, resource *node, path string) *node {
	r.merged[section] = true
	properties := resource.get("Properties")
	global := r.root.get("Globals").get(section)
	if global == nil || global.kind != object {
		return properties
	}
	if ignored := resource.get("IgnoreGlobals"); ignored != nil {
		global = r.withoutIgnored(global, ignored, path+".IgnoreGlobals")
	}
	if properties == nil || properties.kind == null {
		return global
	}
	return merge(global, properties)
}

// withoutIgnored omits what a resource's IgnoreGlobals names: "*" is everything.
func (r *reader) withoutIgnored(global, ignored *node, path string) *node {
	kept := *global
	switch {
	case ignored.kind == scalar && ignored.text == "*":
		kept.entries = nil
	case ignored.kind == list:
		kept.entries = slices.Clone(global.entries)
		for _, item := range ignored.items {
			i := slices.IndexFunc(kept.entries, func(e entry) bool { return e.key == item.text })
			if i < 0 {
				r.add(item, path, "Globals have no %s", quote(item.text))
				continue
			}
			kept.entries = slices.Delete(kept.entries, i, i+1)
		}
	default:
		r.add(ignored, path, `it must be "*" or a list of properties`)
	}
	return &kept
}

// merge merges as SAM does: mappings key by key, and lists one after the other. Otherwise
// the local value wins. An intrinsic function is a single value.
func merge(global, local *node) *node {
	_, _, globalFunction := global.intrinsic()
	_, _, localFunction := local.intrinsic()
	if global.kind != local.kind || globalFunction || localFunction {
		return local
	}
	merged := *local
	switch local.kind { //nolint:exhaustive // the local value wins for all others
	case list:
		merged.items = slices.Concat(global.items, local.items)
	case object:
		merged.entries = slices.Clone(global.entries)
		for _, e := range local.entries {
			i := slices.IndexFunc(merged.entries, func(g entry) bool { return g.key == e.key })
			if i < 0 {
				merged.entries = append(merged.entries, e)
				continue
			}
			merged.entries[i] = entry{key: e.key, at: e.at, value: merge(merged.entries[i].value, e.value)}
		}
	}
	return &merged
}
