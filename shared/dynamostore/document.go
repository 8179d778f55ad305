package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/document"
	"paylane/shared/order"
)

var _ document.Store = (*Store)(nil)

// attrDocument is the body of a document. A document is an item whose key ends with its name.
// The other attributes are those of a tombstone: the scans of a build that knows no documents
// read them all the same, and pass tombstones over.
const attrDocument = "d"

func documentKey(k document.Key) item { return keyOf(order.Ref{Tenant: k.Tenant, ID: k.Name}) }

// Document implements [document.Store].
func (s *Store) Document(ctx context.Context, k document.Key) (document.Document, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: documentKey(k), ConsistentRead: aws.Bool(true),
	}, s.calls)
	if err != nil {
		return document.Document{}, wrap("get the document", translate(ctx, err))
	}
	if len(out.Item) == 0 {
		return document.Document{Key: k}, nil
	}
	r := reader{item: out.Item}
	d := document.Document{Key: k, Version: r.number(attrVersion), Body: r.text(attrDocument)}
	if seconds := r.optional(attrExpires); seconds != 0 {
		d.ExpiresAt = time.Unix(seconds, 0).UTC()
	}
	if r.err != nil {
		return document.Document{}, fmt.Errorf("decode the document %s: %w", k.Name, r.err)
	}
	return d, nil
}

// PutDocument implements [document.Store].
func (s *Store) PutDocument(ctx context.Context, d document.Document) error {
	if err := d.Check(); err != nil {
		return wrap("put the document", err)
	}
	token, it := newToken(), encodeDocument(d)
	it[attrWrite] = text(token)
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: it,
		ConditionExpression:                 aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames:            map[string]string{"#pk": attrKey},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if d.Version > 1 {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("#n = :before"), map[string]string{"#n": attrVersion}
		in.ExpressionAttributeValues = item{":before": number(d.Version - 1)}
	}
	_, err := s.client.PutItem(ctx, in, s.calls)
	var failed *types.ConditionalCheckFailedException
	switch {
	case errors.As(err, &failed):
		if wrote, ok := failed.Item[attrWrite].(*types.AttributeValueMemberS); ok && wrote.Value == token {
			return nil // an earlier try of this call
		}
		return document.ErrConflict
	case err != nil:
		return wrap("put the document", translate(ctx, err))
	}
	return nil
}

func encodeDocument(d document.Document) item {
	it := documentKey(d.Key)
	it[attrSchema] = number(schemaFirst)
	it[attrStatus] = text(string(order.Void))
	it[attrVersion] = number(d.Version)
	it[attrAmount], it[attrCurrency] = number(0), text("")
	it[attrDocument] = text(d.Body)
	if !d.ExpiresAt.IsZero() {
		it[attrExpires] = number(d.ExpiresAt.Unix())
	}
	return it
}

// DeleteDocument implements [document.Store].
func (s *Store) DeleteDocument(ctx context.Context, k document.Key) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: documentKey(k)}, s.calls)
	return wrap("delete the document", translate(ctx, err))
}
