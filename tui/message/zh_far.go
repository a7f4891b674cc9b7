package message

// zhFar are the texts of what another node tells of itself.
var zhFar = map[string]string{
	"%s, node %s":                  "%s，节点 %s",
	"The node does not answer: %s": "该节点没有应答：%s",
	"asking the node":              "正在询问该节点",
	"components":                   "组件",
	"history":                      "历史",
}
