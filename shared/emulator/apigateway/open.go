package apigateway

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator/template"
)

// openIdentity returns the claims that the function of a route sees of a caller whom nobody
// has checked: those of an access token for the route's authorizer, valid for a year, with
// what replaces them.
func openIdentity(r template.Route, replaced accesstoken.Claims, now time.Time) accesstoken.Claims {
	const local = "local"
	claims := accesstoken.Claims{
		"iss": r.Authorizer.Issuer, "sub": local, "client_id": local, "username": local,
		"email": "local@example.com", "token_use": "access", "scope": strings.Join(r.Scopes, " "),
		"iat": seconds(now), "auth_time": seconds(now), "exp": seconds(now.AddDate(1, 0, 0)),
	}
	if len(r.Authorizer.Audience) > 0 {
		claims["aud"] = r.Authorizer.Audience[0]
	}
	maps.Copy(claims, replaced)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

func seconds(t time.Time) json.Number { return json.Number(strconv.FormatInt(t.Unix(), 10)) }

// openContext returns what the events of a route with an authorizer have in
// requestContext.authorizer while the API is open.
func (r *route) openContext() *authorizerContext {
	caller := &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: r.identity.Strings()}
	if len(r.Scopes) > 0 {
		caller.Scopes = r.identity.Scopes()
	}
	return &authorizerContext{JWT: caller}
}
