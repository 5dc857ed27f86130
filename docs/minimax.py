"""Minimax coefficients for src/lower/math: Remez exchange and rounding, with mpmath. See numerics.md."""
import sys
from mpmath import mp, mpf, matrix, lu_solve, log, exp, erfc, erf, sqrt, pi, tanh, sin, cos, cos as mcos, findroot, ldexp, frexp
mp.prec = 400
def rnd(v, bits):
    v = mpf(v)
    if v == 0: return v
    m, e = frexp(v)
    return ldexp(mp.nint(ldexp(m, bits)), e-bits)
def hexf(v, digits=None):
    v = mpf(v)
    if v == 0: return "0x0p+0"
    s = "-" if v < 0 else ""
    m, e = frexp(abs(v)); m *= 2; e -= 1
    n = int(ldexp(m, 52)) ; assert ldexp(mpf(n),-52)==m, v
    h = "%013x" % (n - (1<<52)); h = h.rstrip("0")
    return "%s0x1%sp%+d" % (s, ("."+h) if h else "", e)
def remez(f, basis, w, a, b, iters=12, grid=None):
    """minimise max |w(x)(f(x)-sum c_i basis_i(x))|"""
    n = len(basis); a=mpf(a); b=mpf(b)
    pts=[(a+b)/2 - (b-a)/2*mcos(pi*(2*k+1)/(2*(n+1))) for k in range(n+1)]
    pts[0]=pts[0]; 
    G = grid or max(400, 30*n)
    gx=[(a+b)/2 - (b-a)/2*mcos(pi*mpf(k)/G) for k in range(G+1)]
    gf=[f(x) for x in gx]; gw=[w(x) for x in gx]; gb=[[p(x) for p in basis] for x in gx]
    for it in range(iters):
        A=matrix(n+1,n+1); B=matrix(n+1,1)
        for i,x in enumerate(pts):
            wx=w(x)
            for j,p in enumerate(basis): A[i,j]=p(x)
            A[i,n]=(-1)**i/wx; B[i]=f(x)
        s=lu_solve(A,B); c=[s[j] for j in range(n)]; E=abs(s[n])
        err=[gw[k]*(gf[k]-sum(cj*bj for cj,bj in zip(c,gb[k]))) for k in range(G+1)]
        # extrema
        segs=[]; cur=0
        for k in range(1,G+2):
            if k==G+1 or (err[k]>0)!=(err[cur]>0):
                m=max(range(cur,k),key=lambda q:abs(err[q])); segs.append(m); cur=k
        mx=max(abs(e) for e in err)
        if mx/E < 1.005 or len(segs)<n+1: break
        while len(segs)>n+1:
            if len(segs)-(n+1)==1 or True:
                if abs(err[segs[0]])<abs(err[segs[-1]]): segs.pop(0)
                else: segs.pop()
        pts=[gx[m] for m in segs]
    return c, mx
def fit(f, powers, a, b, w=None, bits=24, fixed=(), wfun=None, name="", exact=None, bitsof=None, var=lambda x:x, wt=None):
    """fit f(x)=sum c_p var(x)^p, relative error by default; rounding coefficients one by one from the lowest."""
    if wt is None: wt=lambda x: 1/f(x)
    done=[]; rest=list(powers); g=f
    E0=None
    while rest:
        c,mx=remez(lambda x: f(x)-sum(v*var(x)**p for p,v in done), [ (lambda x,p=p: var(x)**p) for p in rest ], wt, a, b)
        if E0 is None: E0=mx
        p=rest.pop(0); v=rnd(c[0], bitsof(p) if bitsof else bits)
        done.append((p,v))
    # final err
    G=2000; a=mpf(a); b=mpf(b)
    mx=0
    for k in range(G+1):
        x=a+(b-a)*k/G
        try: e=abs(wt(x)*(f(x)-sum(v*var(x)**p for p,v in done)))
        except ZeroDivisionError: continue
        mx=max(mx,e)
    print(name, "ideal 2^%.2f"%float(log(E0,2)), "rounded 2^%.2f"%float(log(mx,2)))
    for p,v in done: print("   ", p, hexf(v), "//", mp.nstr(v,17))
    return [v for p,v in done], mx
def fit1(f, n, a, b, wt, name, bits=53):
    """one Remez, then rounding (float64: rounding of coefficients is far below the target)"""
    c,mx=remez(f,[(lambda x,p=p: x**p) for p in range(n)],wt,a,b,iters=20)
    v=[rnd(ci,bits) for ci in c]
    a=mpf(a);b=mpf(b); m=0
    for k in range(2001):
        x=a+(b-a)*k/2000
        if abs(x)<mpf('1e-9'): continue
        m=max(m,abs(wt(x)*(f(x)-sum(vi*x**p for p,vi in enumerate(v)))))
    print(name,"ideal 2^%.2f rounded 2^%.2f"%(float(log(mx,2)),float(log(m,2))))
    for p,vi in enumerate(v): print("   ",p,hexf(vi),"//",mp.nstr(vi,17))
    return v
