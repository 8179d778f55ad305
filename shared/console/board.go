package console

import "net/http"

func (s *console) boardRoutes(see route) {
	see(Root+"/{$}", s.board)
	see(Root, s.board)
}

func (s *console) board(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, Root+"/orders", http.StatusSeeOther)
}
