package main

import "html/template"

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>hello {{.Version}}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f7f9;color:#1d2330}
header{background:{{.Colour}};color:#fff;padding:2rem}
h1{margin:0;font-size:2rem} main{padding:1rem 2rem;max-width:60rem}
table{border-collapse:collapse;width:100%;background:#fff} td,th{text-align:left;padding:.4rem .8rem;border:1px solid #dde}
th{width:12rem;font-weight:600} code{white-space:pre-wrap}
</style></head><body>
<header><h1>hello {{.Version}}</h1>answered {{.Requests}} times in {{.Uptime}}</header><main>
<h2>Where</h2><table>
<tr><th>pod</th><td>{{.Pod}}</td></tr><tr><th>namespace</th><td>{{.Namespace}}</td></tr>
<tr><th>node</th><td>{{.Node}}</td></tr><tr><th>address</th><td>{{.IP}}</td></tr>
<tr><th>asked as</th><td>{{.Host}}</td></tr><tr><th>by</th><td>{{.Client}}</td></tr></table>
<h2>Configuration</h2><table>
{{range $name, $value := .Environment}}<tr><th>{{$name}}</th><td><code>{{$value}}</code></td></tr>{{end}}
{{range $name, $value := .Settings}}<tr><th>{{$name}}</th><td><code>{{$value}}</code></td></tr>{{end}}
</table></main></body></html>
`))
