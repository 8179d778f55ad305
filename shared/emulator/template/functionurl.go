package template

import (
	"encoding/base32"
	"slices"
	"strings"
)

// addFunctionURLs adds the resources that SAM makes from FunctionUrlConfigs, so that
// others can refer to them.
func (r *reader) addFunctionURLs() {
	for _, res := range slices.Clone(r.order) {
		if res.typ != typeFunction || res.properties.get("FunctionUrlConfig") == nil {
			continue
		}
		id := res.id + "Url"
		if r.resources[id] != nil {
			r.add(r.resources[id].at, "Resources."+id, "SAM uses this name for the function URL of %s", res.id)
			continue
		}
		r.resources[id] = &resource{
			id: id, typ: typeURL, path: res.path, at: res.at, node: res.node, exists: res.exists,
			unusable: res.unusable, condition: res.condition, function: res,
		}
	}
}

// functionURL reads a function's FunctionUrlConfig and the metadata that belongs to it.
func (r *reader) functionURL(res *resource, p *properties) *FunctionURL {
	config := p.inner("FunctionUrlConfig", typeFunction+" FunctionUrlConfig")
	paths := r.localPaths(res)
	if config.n == nil {
		if len(paths) > 0 {
			r.add(res.node.get("Metadata").get("LocalPaths"), res.path+".Metadata.LocalPaths",
				"it needs a FunctionUrlConfig: the paths lead to the function's URL")
		}
		return nil
	}
	switch auth := config.required("AuthType"); auth {
	case "NONE", "":
	case "AWS_IAM":
		config.problem("AuthType", "AWS_IAM is not supported: requests signed with IAM credentials are not checked")
	default:
		config.problem("AuthType", "%s is not supported; it can be NONE", quote(auth))
	}
	id := r.urlID(res)
	url := &FunctionURL{
		LogicalID:  res.id + "Url",
		ID:         id,
		DomainName: r.urlDomain(id),
		Stream:     config.choice("InvokeMode", "BUFFERED", "BUFFERED", "RESPONSE_STREAM") == "RESPONSE_STREAM",
		LocalPaths: paths,
	}
	if cors := config.inner("Cors", typeFunction+" FunctionUrlConfig Cors"); cors.n != nil {
		url.CORS = readCORS(cors)
	}
	config.done()
	return url
}

func (r *reader) localPaths(res *resource) []string {
	metadata := r.metadataOf(res)
	paths := metadata.texts("LocalPaths")
	for _, path := range paths {
		rest, ok := strings.CutPrefix(path, "/")
		for segment := range strings.SplitSeq(rest, "/") {
			ok = ok && segment != "" && pathSegment.MatchString(segment) && !strings.HasSuffix(segment, "+}")
		}
		if !ok {
			metadata.problem("LocalPaths", `%s is not a path such as "/orders/{id}/events"`, quote(path))
		}
	}
	return paths
}

// urlID is 32 lower-case letters and digits, as Lambda's are.
func (r *reader) urlID(res *resource) string {
	id := idOf(r.options.StackName + "/" + res.id + "Url")
	return strings.ToLower(base32.StdEncoding.EncodeToString(id[:])[:32])
}

func (r *reader) urlDomain(id string) string {
	return id + ".lambda-url." + r.options.Region + ".on.aws"
}

// urlValue returns the value of a Ref (without an attribute) or Fn::GetAtt of a function
// URL.
func (r *reader) urlValue(n *node, path string, function *resource, attribute string) *node {
	if attribute == "FunctionUrl" {
		origin := r.options.Origin
		switch {
		case origin == "":
			return n.textNode("https://" + r.urlDomain(r.urlID(function)) + "/")
		case len(r.localPaths(function)) > 0:
			return n.textNode(origin + "/")
		}
		return n.textNode(origin + LocalURLPath + function.id + "/")
	}
	name, ok := r.physicalName(n, path, function)
	if !ok {
		return n.bad()
	}
	arn := r.fill(returns[typeFunction].attributes["Arn"], function, name)
	if alias := r.propertiesOfResource(function).text("AutoPublishAlias", ""); alias != "" {
		arn += ":" + alias
	}
	return n.textNode(arn)
}
