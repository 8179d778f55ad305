package template

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"regexp"
	"strings"

	"paylane/shared/emulator/internal/aws"
)

// returned holds what Ref and Fn::GetAtt return for a type of resource ("Return values"
// of each type in the CloudFormation reference). The strings have these placeholders:
//
//	{name} physical name   {arn} "arn:aws"   {region} {account} {suffix} as the pseudo parameters
//	{url}  a queue's URL   {api} an API's id   {endpoint} an API's base address
//	{uuid} {hex} {letters} an id derived from the logical id, as long as AWS's are
//	{website} where S3 serves a bucket as a website in the region
//
// One that begins with "=" is the value of the property named after it.
type returned struct {
	nameProperty string // the property that names the resource, if there is one
	longest      int    // length of a generated name; 0 is no limit
	ref          string
	attributes   map[string]string
}

// streamAttribute is what Fn::GetAtt calls the ARN of a table's stream.
const streamAttribute = "StreamArn"

// returns has the types whose values a function's environment may need. A type that is
// accepted but missing here has no value locally, and using it is a problem.
//
//nolint:gochecknoglobals // a table, never written
var returns = map[string]returned{
	typeFunction: {"FunctionName", 64, "{name}", map[string]string{
		"Arn": "{arn}:lambda:{region}:{account}:function:{name}"}},
	typeHTTPAPI: {"", 0, "{api}", map[string]string{
		"ApiEndpoint": "{endpoint}", "ApiId": "{api}"}},
	typeStage: {"", 0, "=StageName", nil},
	typeQueue: {"QueueName", 80, "{url}", map[string]string{
		"Arn": "{arn}:sqs:{region}:{account}:{name}", "QueueName": "{name}", "QueueUrl": "{url}"}},
	typeTable: {"TableName", 255, "{name}", map[string]string{
		"Arn": "{arn}:dynamodb:{region}:{account}:table/{name}",
		// AWS's have the time at which the stream was made.
		streamAttribute: "{arn}:dynamodb:{region}:{account}:table/{name}/stream/2015-06-27T00:48:05.899"}},
	typeMapping: {"", 0, "{uuid}", map[string]string{
		"Id": "{uuid}", "EventSourceMappingArn": "{arn}:lambda:{region}:{account}:event-source-mapping:{uuid}"}},

	typeTopic: {"TopicName", 256, "{arn}:sns:{region}:{account}:{name}", map[string]string{
		"TopicArn": "{arn}:sns:{region}:{account}:{name}", "TopicName": "{name}"}},
	typeBucket: {"BucketName", 63, "{name}", map[string]string{
		"Arn": "{arn}:s3:::{name}", "DomainName": "{name}.s3.{suffix}",
		"RegionalDomainName":  "{name}.s3.{region}.{suffix}",
		"DualStackDomainName": "{name}.s3.dualstack.{region}.{suffix}",
		"WebsiteURL":          "http://{name}.{website}.{suffix}"}},
	// AWS's ARNs of secrets end in six random characters, but it also accepts those without.
	typeSecret: {"Name", 256, "{arn}:secretsmanager:{region}:{account}:secret:{name}", map[string]string{
		"Id": "{arn}:secretsmanager:{region}:{account}:secret:{name}"}},
	typeSSMParameter: {"Name", 1011, "{name}", map[string]string{"Type": "=Type", "Value": "=Value"}},
	"AWS::IAM::Role": {"RoleName", 64, "{name}", map[string]string{
		"Arn": "{arn}:iam::{account}:role/{name}"}},
	"AWS::IAM::ManagedPolicy": {"ManagedPolicyName", 128, "{arn}:iam::{account}:policy/{name}", map[string]string{
		"PolicyArn": "{arn}:iam::{account}:policy/{name}"}},
	typeKey: {"", 0, "{uuid}", map[string]string{
		"Arn": "{arn}:kms:{region}:{account}:key/{uuid}", "KeyId": "{uuid}"}},
	typeKeyAlias:          {"AliasName", 256, "{name}", nil},
	"AWS::Logs::LogGroup": {"LogGroupName", 512, "{name}", map[string]string{"Arn": "{arn}:logs:{region}:{account}:log-group:{name}:*"}},
	"AWS::CloudWatch::Alarm": {"AlarmName", 255, "{name}", map[string]string{
		"Arn": "{arn}:cloudwatch:{region}:{account}:alarm:{name}"}},
	"AWS::CloudWatch::CompositeAlarm": {"AlarmName", 255, "{name}", map[string]string{
		"Arn": "{arn}:cloudwatch:{region}:{account}:alarm:{name}"}},
	"AWS::CloudWatch::Dashboard": {"DashboardName", 255, "{name}", nil},
	typeUserPool: {"", 0, "{region}_{letters}", map[string]string{
		"Arn":          "{arn}:cognito-idp:{region}:{account}:userpool/{region}_{letters}",
		"ProviderName": "cognito-idp.{region}.{suffix}/{region}_{letters}",
		"ProviderURL":  "https://cognito-idp.{region}.{suffix}/{region}_{letters}",
		"UserPoolId":   "{region}_{letters}"}},
	"AWS::Cognito::UserPoolClient":         {"", 0, "{hex}", map[string]string{"ClientId": "{hex}", "Name": "{name}"}},
	"AWS::Cognito::UserPoolDomain":         {"Domain", 63, "{name}", nil},
	"AWS::Cognito::UserPoolResourceServer": {"Identifier", 256, "{name}", nil},
}

// pseudo returns a pseudo parameter's value.
func (r *reader) pseudo(name string) (string, bool) {
	switch name {
	case "AWS::Region":
		return r.options.Region, true
	case "AWS::AccountId":
		return r.options.AccountID, true
	case "AWS::StackName":
		return r.options.StackName, true
	case "AWS::StackId":
		return r.partition() + ":cloudformation:" + r.options.Region + ":" + r.options.AccountID +
			":stack/" + r.options.StackName + "/" + uuidOf(r.options.StackName), true
	case "AWS::Partition":
		return strings.TrimPrefix(r.partition(), "arn:"), true
	case "AWS::URLSuffix":
		return r.urlSuffix(), true
	}
	return "", false
}

// partition is how every ARN begins.
func (r *reader) partition() string {
	switch {
	case strings.HasPrefix(r.options.Region, "cn-"):
		return "arn:aws-cn"
	case strings.HasPrefix(r.options.Region, "us-gov-"):
		return "arn:aws-us-gov"
	}
	return "arn:aws"
}

func (r *reader) urlSuffix() string {
	if strings.HasPrefix(r.options.Region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// resourceValue returns the value of a Ref (without an attribute) or Fn::GetAtt.
func (r *reader) resourceValue(n *node, path, id, attribute string) *node {
	what := "Ref of " + id
	if attribute != "" {
		what = "Fn::GetAtt of " + id + "." + attribute
	}
	res, ok := r.resources[id]
	if !ok {
		r.add(n, path, "%s: there is no parameter or resource %s", what, quote(id))
		return n.bad()
	}
	if res.unusable {
		return n.bad()
	}
	if !res.exists {
		r.add(n, path, "%s: the resource's condition %s is false, so it does not exist", what, quote(res.condition))
		return n.bad()
	}
	if res.function != nil && (attribute == "" || attribute == "FunctionArn" || attribute == "FunctionUrl") {
		return r.urlValue(n, path, res.function, attribute)
	}
	if res.typ == typeTable && attribute == streamAttribute {
		return r.streamValue(n, path, res)
	}
	if value, ok := r.partValue(n, path, res, attribute); ok {
		return value
	}
	values, ok := returns[res.typ]
	pattern := values.ref
	if attribute != "" {
		pattern = values.attributes[attribute]
	}
	if !ok || pattern == "" {
		report := r.unknown
		if emulated(res.typ) { // all of its values are known
			report = r.add
		}
		report(n, path, "%s: a resource of type %s has no such value locally; supply one by a parameter", what, res.typ)
		return n.bad()
	}
	if property, ok := strings.CutPrefix(pattern, "="); ok {
		return r.propertyValue(n, path, res, property)
	}
	name, ok := r.physicalName(n, path, res)
	if !ok {
		return n.bad()
	}
	return n.textNode(r.fill(pattern, res, name))
}

// propertyValue returns the text of a resource's property.
func (r *reader) propertyValue(n *node, path string, res *resource, property string) *node {
	at := res.path + ".Properties." + property
	if !r.enter(n, path, "the property "+property+" of "+res.id) {
		return n.bad()
	}
	defer r.leave()
	text, ok := r.text(res.properties.get(property), at)
	if !ok {
		return n.bad()
	}
	return n.textNode(text)
}

// partValue returns the value of a part such as Alias in Function.Alias, which Ref and
// Fn::Sub know as what SAM makes from a resource ("Generated AWS CloudFormation resources:
// referencing", AWS SAM developer guide).
func (r *reader) partValue(n *node, path string, res *resource, part string) (*node, bool) {
	if !res.exists || res.unusable {
		return nil, false
	}
	switch {
	case res.typ == typeHTTPAPI && part == "Stage":
		return n.textNode(r.propertiesOfResource(res).text("StageName", DefaultStage)), true
	case res.typ == typeFunction && (part == "Alias" || part == "Version"):
		alias := r.propertiesOfResource(res).text("AutoPublishAlias", "")
		if alias == "" {
			return nil, false
		}
		if part == "Version" {
			alias = "1"
		}
		name, ok := r.physicalName(n, path, res)
		if !ok {
			return n.bad(), true
		}
		return n.textNode(r.fill(returns[typeFunction].attributes["Arn"], res, name) + ":" + alias), true
	}
	return nil, false
}

// physicalName returns the name that the template gives a resource. Otherwise it is one
// like CloudFormation's, without the random part, so that it stays the same.
func (r *reader) physicalName(n *node, path string, res *resource) (string, bool) {
	if res.name != "" {
		return res.name, true
	}
	values := returns[res.typ]
	name := r.options.StackName + "-" + res.id
	if values.nameProperty != "" {
		if !r.enter(n, path, nameOf(res)) {
			return "", false
		}
		defer r.leave()
		at := res.path + ".Properties." + values.nameProperty
		if given := r.eval(res.properties.get(values.nameProperty), at); given != nil {
			text, ok := r.text(r.final(given, at), at)
			if !ok {
				return "", false
			}
			res.name = text
			return text, true
		}
	}
	if values.longest > 0 && len(name) > values.longest {
		name = name[:values.longest]
	}
	if fifo := r.eval(res.properties.get("FifoTopic"), path); fifo != nil && fifo.text == "true" {
		name += ".fifo"
	}
	if res.typ == typeBucket {
		name = strings.ToLower(name)
	}
	res.name = name
	return name, true
}

// fill replaces the placeholders of a string of [returns] for one resource.
func (r *reader) fill(pattern string, res *resource, name string) string {
	id := idOf(r.options.StackName + "/" + res.id)
	return strings.NewReplacer(
		"{name}", name,
		"{arn}", r.partition(),
		"{region}", r.options.Region,
		"{account}", r.options.AccountID,
		"{suffix}", r.urlSuffix(),
		"{url}", r.options.SQSEndpoint+"/"+r.options.AccountID+"/"+name,
		"{api}", apiID(id),
		"{endpoint}", r.apiEndpoint(id),
		"{website}", r.websiteHost(),
		"{uuid}", uuidOf(r.options.StackName+"/"+res.id),
		"{hex}", hex.EncodeToString(id[:13]),
		"{letters}", base32.StdEncoding.EncodeToString(id[:])[:9],
	).Replace(pattern)
}

// websiteHost is how the hosts of S3's websites go on after the bucket ("Website
// endpoints", Amazon S3 user guide): the oldest regions have a hyphen.
func (r *reader) websiteHost() string {
	switch r.options.Region {
	case "us-east-1", "us-west-1", "us-west-2", "us-gov-west-1", "eu-west-1", "ap-southeast-1", "ap-southeast-2",
		"ap-northeast-1", "sa-east-1":
		return "s3-website-" + r.options.Region
	}
	return "s3-website." + r.options.Region
}

// apiEndpoint returns where the API is served: where [Options] says, or at AWS's address.
func (r *reader) apiEndpoint(id [sha256.Size]byte) string {
	if r.options.Origin != "" {
		return r.options.Origin
	}
	return "https://" + r.apiDomain(apiID(id))
}

// addressOfAPI matches the base address of an API on AWS.
var addressOfAPI = regexp.MustCompile(`https://([a-z0-9]{10})\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?`)

// localAddress returns a scalar with the local address of each API of this template in
// place of the one on AWS, however it was built.
func (r *reader) localAddress(n *node) *node {
	if n == nil || n.kind != scalar || r.options.Origin == "" || !strings.Contains(n.text, ".execute-api.") {
		return n
	}
	ours := map[string]bool{}
	for _, res := range r.order {
		if res.typ == typeHTTPAPI && res.exists {
			ours[r.fill("{api}", res, "")] = true
		}
	}
	return n.textNode(addressOfAPI.ReplaceAllStringFunc(n.text, func(address string) string {
		if ours[addressOfAPI.FindStringSubmatch(address)[1]] {
			return r.options.Origin
		}
		return address
	}))
}

func (r *reader) apiDomain(id string) string {
	return id + ".execute-api." + r.options.Region + "." + r.urlSuffix()
}

// idOf is the source of generated ids, the same for the same resource.
func idOf(seed string) [sha256.Size]byte { return sha256.Sum256([]byte(seed)) }

// apiID returns ten lower-case letters and digits, as API Gateway's ids are.
func apiID(id [sha256.Size]byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(id[:])[:10])
}

func uuidOf(seed string) string {
	id := idOf(seed)
	return aws.UUID(bytes.NewReader(id[:]))
}
