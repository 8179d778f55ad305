package apigateway

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator/template"
)

// openIdentity returns what the function of a route sees of a caller whom nobody has checked:
// the claims of an access token for the route's authorizer, valid for a year, with what
// replaces them.
func openIdentity(r template.Route, replaced accesstoken.Claims, now time.Time) jwtContext {
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
	identity := jwtContext{Claims: claims.Strings()}
	if len(r.Scopes) > 0 {
		identity.Scopes = claims.Scopes()
	}
	return identity
}

func seconds(t time.Time) json.Number { return json.Number(strconv.FormatInt(t.Unix(), 10)) }

// openContext returns what the events of a route with an authorizer have in
// requestContext.authorizer while the API is open.
func (r *route) openContext() *authorizerContext {
	// A handler in this process may change what it gets.
	return &authorizerContext{JWT: &jwtContext{Claims: maps.Clone(r.identity.Claims), Scopes: slices.Clone(r.identity.Scopes)}}
}
