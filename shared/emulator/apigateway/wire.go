package apigateway

import (
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
)

// httpEvent is an event of payload format 2.0.
type httpEvent struct {
	events.APIGatewayV2HTTPRequest
}

// Typed implements [emulator.Event].
func (e *httpEvent) Typed() any { return &e.APIGatewayV2HTTPRequest }

// JSON implements [emulator.Event].
func (e *httpEvent) JSON() ([]byte, error) {
	encoded, err := aws.JSON(wireOf(&e.APIGatewayV2HTTPRequest))
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	return encoded, nil
}

// tooLarge reports whether the event exceeds what Lambda accepts. It encodes the event
// only if its size is in doubt.
func (e *httpEvent) tooLarge() bool {
	const widest = 6                // a character becomes at most \u00xx
	const rest = 4 * maxHeaderBytes // path, query and headers occur in it at most this often
	if (len(e.Body)+rest)*widest <= emulator.MaxPayloadBytes {
		return false
	}
	event, err := e.JSON()
	return err != nil || len(event) > emulator.MaxPayloadBytes
}

// wireEvent is the event as AWS writes it, in AWS's order. aws-lambda-go's own type
// can't express this: it would write empty objects for an absent authentication and an
// authorizer's absent parts, and omit scopes where AWS writes null.
type wireEvent struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	StageVariables        map[string]string `json:"stageVariables,omitempty"`
	RequestContext        wireContext       `json:"requestContext"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type wireContext struct {
	AccountID    string                                               `json:"accountId"`
	APIID        string                                               `json:"apiId"`
	Authorizer   *wireAuthorizer                                      `json:"authorizer,omitempty"`
	DomainName   string                                               `json:"domainName"`
	DomainPrefix string                                               `json:"domainPrefix"`
	HTTP         events.APIGatewayV2HTTPRequestContextHTTPDescription `json:"http"`
	RequestID    string                                               `json:"requestId"`
	RouteKey     string                                               `json:"routeKey"`
	Stage        string                                               `json:"stage"`
	Time         string                                               `json:"time"`
	TimeEpoch    int64                                                `json:"timeEpoch"`
}

type wireAuthorizer struct {
	JWT *wireJWT `json:"jwt,omitempty"`
}

// wireJWT always has scopes; without any they are null.
type wireJWT struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"`
}

func wireOf(e *events.APIGatewayV2HTTPRequest) wireEvent {
	c := &e.RequestContext
	w := wireEvent{
		Version: e.Version, RouteKey: e.RouteKey, RawPath: e.RawPath, RawQueryString: e.RawQueryString,
		Cookies: e.Cookies, Headers: e.Headers, QueryStringParameters: e.QueryStringParameters,
		PathParameters: e.PathParameters, StageVariables: e.StageVariables,
		Body: e.Body, IsBase64Encoded: e.IsBase64Encoded,
		RequestContext: wireContext{
			AccountID: c.AccountID, APIID: c.APIID, DomainName: c.DomainName, DomainPrefix: c.DomainPrefix, HTTP: c.HTTP,
			RequestID: c.RequestID, RouteKey: c.RouteKey, Stage: c.Stage, Time: c.Time, TimeEpoch: c.TimeEpoch,
		},
	}
	if c.Authorizer != nil && c.Authorizer.JWT != nil {
		jwt := wireJWT{Claims: c.Authorizer.JWT.Claims, Scopes: c.Authorizer.JWT.Scopes}
		w.RequestContext.Authorizer = &wireAuthorizer{JWT: &jwt}
	}
	return w
}
