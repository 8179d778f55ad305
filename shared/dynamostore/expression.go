package dynamostore

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// expression builds an update expression. Every attribute is named by a placeholder, since
// some short names are reserved words.
type expression struct {
	names   map[string]string
	values  item
	sets    []string
	removes []string
}

func newExpression() *expression {
	return &expression{names: make(map[string]string), values: make(item)}
}

// name returns the placeholder of an attribute.
func (e *expression) name(attr string) string {
	e.names["#"+attr] = attr
	return "#" + attr
}

// value returns a placeholder for a value.
func (e *expression) value(v types.AttributeValue) string {
	placeholder := ":" + strconv.Itoa(len(e.values))
	e.values[placeholder] = v
	return placeholder
}

func (e *expression) set(attr string, v types.AttributeValue) { e.setTo(attr, e.value(v)) }

func (e *expression) setTo(attr, operand string) {
	e.sets = append(e.sets, e.name(attr)+" = "+operand)
}

func (e *expression) remove(attr string) { e.removes = append(e.removes, e.name(attr)) }

func (e *expression) update() *string {
	var clauses []string
	if len(e.sets) > 0 {
		clauses = append(clauses, "SET "+strings.Join(e.sets, ", "))
	}
	if len(e.removes) > 0 {
		clauses = append(clauses, "REMOVE "+strings.Join(e.removes, ", "))
	}
	text := strings.Join(clauses, " ")
	return &text
}
