module github.com/apponly/apponly

go 1.26.0
