package template_test

import (
	"testing"
	"time"

	"paylane/shared/emulator/template"
)

const urls = `
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ["*"], AllowMethods: [GET]}}}
Resources:
  Plain: {Type: AWS::Serverless::Function}
  Events:
    Type: AWS::Serverless::Function
    Metadata: {LocalPaths: ["/orders/{id}/events"]}
    Properties:
      AutoPublishAlias: live
      FunctionUrlConfig: {InvokeMode: RESPONSE_STREAM, Cors: {AllowMethods: [POST], AllowHeaders: [authorization], MaxAge: 60}}
  None:
    Type: AWS::Serverless::Function
    IgnoreGlobals: [FunctionUrlConfig]
    Properties:
      Environment:
        Variables:
          PLAIN: !GetAtt PlainUrl.FunctionUrl
          EVENTS: !Sub "${EventsUrl.FunctionUrl}orders"
          REF: !Ref EventsUrl
          ARN: !GetAtt PlainUrl.FunctionArn
`

// TestFunctionURLs: SAM's form of a function URL, also from Globals, and the value of a Ref
// to the resource that SAM makes from it, on AWS and on this machine.
func TestFunctionURLs(t *testing.T) {
	minute := time.Minute
	rows := []struct {
		origin        string
		plain, events string
	}{
		{"", "https://id1.lambda-url.us-east-1.on.aws/", "https://id2.lambda-url.us-east-1.on.aws/orders"},
		{"http://127.0.0.1:3000", "http://127.0.0.1:3000/_url/Plain/", "http://127.0.0.1:3000/orders"},
	}
	for _, row := range rows {
		got, err := template.Read("template.yaml", []byte(urls), template.Options{Origin: row.origin})
		if err != nil {
			t.Fatal(err)
		}
		plain, events, none := got.Functions[0].URL, got.Functions[1].URL, got.Functions[2]
		if len(plain.ID) != 32 || plain.ID == events.ID || none.URL != nil {
			t.Fatalf("%+v, %+v, %+v", plain, events, none.URL)
		}
		if row.origin == "" {
			row.plain = "https://" + plain.DomainName + "/"
			row.events = "https://" + events.DomainName + "/orders"
		}
		diff(t, "Plain", template.FunctionURL{
			LogicalID: "PlainUrl", ID: plain.ID, DomainName: plain.ID + ".lambda-url.us-east-1.on.aws",
			CORS: &template.CORS{AllowOrigins: []string{"*"}, AllowMethods: []string{"GET"}},
		}, *plain)
		diff(t, "Events", template.FunctionURL{
			LogicalID: "EventsUrl", ID: events.ID, DomainName: events.ID + ".lambda-url.us-east-1.on.aws", Stream: true,
			CORS: &template.CORS{
				AllowOrigins: []string{"*"}, AllowMethods: []string{"GET", "POST"}, AllowHeaders: []string{"authorization"}, MaxAge: &minute,
			},
			LocalPaths: []string{"/orders/{id}/events"},
		}, *events)
		diff(t, "values", map[string]string{
			"PLAIN": row.plain, "EVENTS": row.events,
			"REF": "arn:aws:lambda:us-east-1:123456789012:function:local-Events:live",
			"ARN": "arn:aws:lambda:us-east-1:123456789012:function:local-Plain",
		}, none.Environment)
	}
}
