package dynamostore

import (
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/document"
	"paylane/shared/order"
)

// Image returns an order's item as the table's stream has it in an event, without the tokens of
// its writes and without an expiry that a store's retention would give it.
func Image(o order.Order) map[string]events.DynamoDBAttributeValue {
	return imageOf((&Store{}).encode(o))
}

// DocumentImage is [Image] for a document.
func DocumentImage(d document.Document) map[string]events.DynamoDBAttributeValue {
	return imageOf(encodeDocument(d))
}

// FromImage returns the order of an item that this build or an older one wrote, as the table's
// stream has it in an event.
func FromImage(image map[string]events.DynamoDBAttributeValue) (order.Order, error) {
	return decode(itemOf(image))
}

func imageOf(it item) map[string]events.DynamoDBAttributeValue {
	image := make(map[string]events.DynamoDBAttributeValue, len(it))
	for name, value := range it {
		image[name] = imageValue(value)
	}
	return image
}

// imageValue returns an attribute of one of the types that encode writes.
func imageValue(value types.AttributeValue) events.DynamoDBAttributeValue {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return events.NewStringAttribute(v.Value)
	case *types.AttributeValueMemberN:
		return events.NewNumberAttribute(v.Value)
	case *types.AttributeValueMemberB:
		return events.NewBinaryAttribute(v.Value)
	case *types.AttributeValueMemberM:
		return events.NewMapAttribute(imageOf(v.Value))
	case *types.AttributeValueMemberL:
		list := make([]events.DynamoDBAttributeValue, len(v.Value))
		for i, element := range v.Value {
			list[i] = imageValue(element)
		}
		return events.NewListAttribute(list)
	}
	return events.NewNullAttribute()
}

func itemOf(image map[string]events.DynamoDBAttributeValue) item {
	it := make(item, len(image))
	for name, value := range image {
		it[name] = itemValue(value)
	}
	return it
}

// itemValue returns an attribute of one of the types that decode reads, or NULL, which it takes
// for an attribute of another type.
func itemValue(value events.DynamoDBAttributeValue) types.AttributeValue {
	switch value.DataType() {
	case events.DataTypeString:
		return text(value.String())
	case events.DataTypeNumber:
		return &types.AttributeValueMemberN{Value: value.Number()}
	case events.DataTypeBinary:
		return &types.AttributeValueMemberB{Value: value.Binary()}
	case events.DataTypeMap:
		return &types.AttributeValueMemberM{Value: itemOf(value.Map())}
	case events.DataTypeList:
		list := make([]types.AttributeValue, len(value.List()))
		for i, element := range value.List() {
			list[i] = itemValue(element)
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.AttributeValueMemberNULL{Value: true}
	}
}
