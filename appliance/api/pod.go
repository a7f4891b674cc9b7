package api

import "time"

// Pod is a pod in one line.
type Pod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Node      string    `json:"node,omitempty"` // empty while none was found for it
	State     string    `json:"state"`          // its phase, or why it is stuck, such as CrashLoopBackOff
	Ready     int       `json:"ready"`          // containers
	Total     int       `json:"total"`
	Restarts  int       `json:"restarts"`
	Created   time.Time `json:"created"`
	Detail    string    `json:"detail,omitempty"` // what Kubernetes says about the state
}

// OK says whether nothing has to be done about the pod.
func (p Pod) OK() bool {
	return p.State == "Running" && p.Ready == p.Total || p.State == "Succeeded" || p.State == "Completed"
}
